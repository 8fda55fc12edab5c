//! A running server as it describes itself: which models are stuck, closed, missing, slow or failing.

use super::{Finding, Subject};
use serde_json::Value;
use std::time::Duration;

const SERVER: Subject = Subject::Server;

/// What a running server says; each part may be missing.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// `GET /status` of the admin interface.
    pub status: Option<Value>,
    /// Models that are not ready and why, asked one by one where there is no admin interface.
    pub not_ready: Vec<(String, String)>,
    /// `GET /v2/models/stats`
    pub statistics: Option<Value>,
}

/// A share of requests that is worth a word.
const FAILING: f64 = 0.1;
const ENOUGH: u64 = 10;

/// Everything that is wrong; `deadline_of` knows the models' deadlines.
#[must_use]
pub fn findings(said: &Said, deadline_of: impl Fn(&str) -> Option<Duration>) -> Vec<Finding> {
    let mut found = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(status) = &said.status {
        if status["phase"] == "draining" {
            found.push(
                SERVER
                    .note("draining", "the server answers what it has, and takes nothing new")
                    .at(format!("process {}", status["pid"]))
                    .why("It was told to end.")
                    .fix("systemctl start predictd"),
            );
        }
        for model in status["models"].as_array().into_iter().flatten() {
            let name = text(&model["name"]);
            let reason = text(&model["reason"]);
            match model["state"].as_str() {
                Some("closed") => found.push(closed(&name, &reason)),
                Some("ready") if !reason.is_empty() => found.push(
                    SERVER
                        .warning("not-reloaded", format!("model '{name}' is not what its folder has"))
                        .at(format!("model {name}: {reason}"))
                        .why("The old one is served on; a restart would fail.")
                        .fix("predictd check   # then: predictd reload"),
                ),
                Some("unavailable") if !reason.is_empty() => found.push(unavailable(&name, &reason)),
                Some("loading") if model["for_s"].as_f64().is_some_and(|seconds| seconds > 60.0) => {
                    found.push(
                        SERVER
                            .note(
                                "loading",
                                format!("model '{name}' has been loading for {} s", model["for_s"]),
                            )
                            .at(format!("model {name}"))
                            .why("Until it is done, requests to it are 503.")
                            .fix("predictd status"),
                    );
                }
                _ => {}
            }
        }
    }
    for (name, reason) in &said.not_ready {
        found.push(if reason.contains("closed") { closed(name, reason) } else { unavailable(name, reason) });
    }
    for model in said.statistics.iter().flat_map(|all| all["model_stats"].as_array()).flatten() {
        found.extend(statistics(model, &deadline_of));
    }
    found
}

fn closed(name: &str, reason: &str) -> Finding {
    // The reason as requests get it: the name is said already.
    let reason = reason.split_once(&format!("model '{name}': ")).map_or(reason, |(_, rest)| rest);
    let reason = reason.trim_start_matches("it is closed: ");
    SERVER
        .error("stuck", format!("model '{name}' is stuck, and closed"))
        .at(format!("model {name}: {}", reason.trim_end_matches("; try again in a moment")))
        .why(
            "Its run did not end at its deadline, nor when told to; requests to it are 503 until it does. Other \
             models are served as ever.",
        )
        .fix("predictd reload   # if it sticks again: systemctl restart predictd")
}

fn unavailable(name: &str, reason: &str) -> Finding {
    SERVER
        .error("unavailable", format!("model '{name}' is not served"))
        .at(format!("model {name}: {reason}"))
        .why("Requests to it are 503 or 404.")
        .fix("predictd check   # then: predictd reload")
}

/// Means over the server's life, of Triton's statistics.
fn statistics(model: &Value, deadline_of: impl Fn(&str) -> Option<Duration>) -> Option<Finding> {
    let name = model["name"].as_str()?;
    let stats = &model["inference_stats"];
    let count = |what: &str| stats[what]["count"].as_u64().unwrap_or_default();
    let (good, bad) = (count("success"), count("fail"));
    let mean = |what: &str| {
        let of = count(what);
        (of > 0).then(|| stats[what]["ns"].as_f64().unwrap_or_default() / of as f64 / 1e6)
    };
    if bad >= ENOUGH && bad as f64 > FAILING * (good + bad) as f64 {
        return Some(
            SERVER
                .warning("failing", format!("{bad} of {} requests to model '{name}' failed", good + bad))
                .at(format!("model {name}"))
                .why("Deadlines, full queues and failed runs: the access log has the status of each.")
                .fix(format!("predictd status; grep {name} the-access-log")),
        );
    }
    let deadline_ms = deadline_of(name)?.as_secs_f64() * 1e3;
    let run = mean("compute_infer").filter(|run| good >= 1 && *run > deadline_ms / 2.0)?;
    Some(
        SERVER
            .warning(
                "slow",
                format!("a run of model '{name}' takes {run:.0} ms; its deadline is {deadline_ms:.0} ms"),
            )
            .at(format!("model {name}"))
            .why("Two that wait for each other are over it: 504.")
            .fix(format!(
                "deadline = \"{}s\"   # in {name}/model.toml; or [workers] threads",
                (run * 4.0 / 1e3).ceil()
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(said: &Said, expected: &[&str]) {
        let deadline_of = |name: &str| match name {
            "m" => Some(Duration::from_secs(30)),
            "fast" => Some(Duration::from_secs(1)),
            _ => None,
        };
        let found: Vec<String> =
            findings(said, deadline_of).iter().map(|one| format!("{}: {}", one.name, one.what)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_server_says_of_its_models_is_named() {
        let model = |state: &str, reason: &str| json!({ "name": "m", "state": state, "reason": reason, "for_s": 61.5 });
        for (model, expected) in [
            (model("ready", ""), None),
            (model("ready", "as it was before"), Some("not-reloaded: model 'm' is not what its folder has")),
            (model("closed", "it is closed: worker 1 ..."), Some("stuck: model 'm' is stuck, and closed")),
            (model("unavailable", "no file"), Some("unavailable: model 'm' is not served")),
            (model("loading", ""), Some("loading: model 'm' has been loading for 61.5 s")),
            (model("of another time", ""), None),
        ] {
            let status = json!({ "phase": "serving", "models": [model] });
            check(&Said { status: Some(status), ..Said::default() }, &Vec::from_iter(expected));
        }
        let status = json!({ "phase": "draining", "pid": 7 });
        check(
            &Said { status: Some(status), ..Said::default() },
            &["draining: the server answers what it has, and takes nothing new"],
        );
        check(&Said { status: Some(json!("nonsense")), ..Said::default() }, &[]);
    }

    #[test]
    fn statistics_tell_of_slow_and_failing_models() {
        let said = |stats: Value| Said {
            statistics: Some(json!({ "model_stats": [{ "name": "m", "inference_stats": stats }] })),
            ..Said::default()
        };
        let of = |count: u64, ms: u64| json!({ "count": count, "ns": count * ms * 1_000_000 });
        check(&said(json!({ "success": of(90, 1), "fail": of(3, 1), "compute_infer": of(90, 5) })), &[]);
        check(
            &said(json!({ "success": of(80, 1), "fail": of(20, 1) })),
            &["failing: 20 of 100 requests to model 'm' failed"],
        );
        check(
            &said(json!({ "success": of(4, 1), "compute_infer": of(4, 20_000) })),
            &["slow: a run of model 'm' takes 20000 ms; its deadline is 30000 ms"],
        );
        // Each against its own deadline, and one that the configuration does not know against none.
        let two = |first: &str, second: &str| {
            let stats = json!({ "success": of(4, 800), "compute_infer": of(4, 800) });
            let models = [first, second].map(|name| json!({ "name": name, "inference_stats": stats }));
            Said { statistics: Some(json!({ "model_stats": models })), ..Said::default() }
        };
        check(&two("m", "fast"), &["slow: a run of model 'fast' takes 800 ms; its deadline is 1000 ms"]);
        check(&two("m", "unknown"), &[]);
        check(&Said::default(), &[]);
    }
}
