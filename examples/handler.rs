//! A route of your own that asks a model, behind nginx's `uwsgi_pass`:
//!
//! ```sh
//! cargo run --release --example handler -- unix:/tmp/handler.sock
//! ```

use axum::extract::{Query, State};
use axum::{Json, Router, routing::get};
use predictd::{App, Config, Error, Input, Tensor};

/// Lengths in cm.
#[derive(serde::Deserialize)]
struct Flower {
    sepal_length: f32,
    sepal_width: f32,
    petal_length: f32,
    petal_width: f32,
}

/// `GET /species?sepal_length=5.1&sepal_width=3.5&petal_length=1.4&petal_width=0.2`
async fn species(
    State(app): State<App>,
    Query(flower): Query<Flower>,
) -> Result<Json<Option<&'static str>>, Error> {
    let row = vec![flower.sepal_length, flower.sepal_width, flower.petal_length, flower.petal_width];
    let tensor = Tensor::from_numbers(vec![1, 4], row).expect("one row of four");
    let outputs = app.infer("iris", vec![Input { name: "measurements".into(), tensor }]).await?;
    // In the order that `predictd check` prints: probabilities, species.
    let species = outputs[1].numbers::<i64>().and_then(|species| usize::try_from(*species.first()?).ok());
    Ok(Json(species.and_then(|species| ["setosa", "versicolor", "virginica"].get(species).copied())))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = Config::load(None)?;
    predictd::server::start_logging(&config)?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "unix:/tmp/handler.sock".into());
    let app = predictd::start(&config)?;
    let routes = Router::new().route("/species", get(species)).with_state(app);
    Ok(predictd::serve(predictd::listen(&address)?, routes).await?)
}
