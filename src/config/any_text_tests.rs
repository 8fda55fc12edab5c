//! Whatever a text is: it is a configuration, or what is wrong is said.

use super::{tests::from, *};
use proptest::prelude::*;

/// Texts in which everything is near to something that means something.
fn near_toml() -> impl Strategy<Value = String> {
    let keys: Vec<String> = reading::schema()
        .names()
        .flat_map(|name| {
            [name.to_owned(), last_part(name), format!("{name}.x"), format!("[{}]", last_part(name))]
        })
        .chain(["[limits]", "[defaults.input]", "[[listen]]", "\"\"", "a\u{301}"].map(str::to_owned))
        .collect();
    let value = prop_oneof![
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        "[0-9]{1,30}(ms|s|h|B|MiB|TiB)?".prop_map(|text| format!("'{text}'")),
        "(unix:|fd:|0-|~/)?[0-9a-z:.@/,-]{0,12}".prop_map(|text| format!("'{text}'")),
        any::<String>().prop_map(|text| toml::Value::from(text).to_string()),
        Just("1979-05-27".to_owned()),
        Just("[[1, 'x'], {a = 2}]".to_owned()),
        Just("['cpu', 'cuda', 'cpu']".to_owned()),
        Just("{body = 1".to_owned()),
    ];
    let line = (proptest::sample::select(keys), value, "[ =\n#]{0,2}");
    proptest::collection::vec(line, 0..12).prop_map(|lines| {
        lines.into_iter().map(|(key, value, odd)| format!("{key} = {value}{odd}\n")).collect()
    })
}

fn last_part(key: &str) -> String {
    schema::split(key).1.to_owned()
}

/// Whatever a text is, it is a configuration, or wrong in places that are in it.
fn is_survived(text: &str) {
    let lines = text.lines().count() + 1;
    let check = |problems: &[Problem]| {
        assert!(!problems.is_empty() && problems.is_sorted(), "{text:?}: {problems:?}");
        for problem in problems {
            let Origin::File { line, column, .. } = problem.origin else { panic!("{text:?}: {problem:?}") };
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(
                (1..=lines).contains(&line) && (1..=longest + 2).contains(&column),
                "{text:?}: {problem}"
            );
            assert!(problem.line().lines().count() == 1, "{text:?}: {problem}");
        }
    };
    match from(text, &[], Overrides::default()) {
        Ok(config) => assert_eq!(config, from(text, &[], Overrides::default()).unwrap()),
        Err(Error::Wrong(problems)) => check(&problems),
        Err(other) => panic!("{text:?}: {other}"),
    }
    if let Err(error) = model::Model::parse(text, "model.toml", &model::Defaults::default()) {
        check(error.problems());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_a_configuration_or_says_what_is_wrong(text in any::<String>()) {
        is_survived(&text);
    }

    #[test]
    fn any_keys_with_any_values_are_a_configuration_or_say_what_is_wrong(text in near_toml()) {
        is_survived(&text);
    }

    #[test]
    fn any_variables_are_taken_or_say_what_is_wrong(
        key in proptest::sample::select(reading::schema().names().map(str::to_owned).collect::<Vec<_>>()),
        value in "(auto|unix:|0-|[0-9]{1,20}(ms|MiB)?)?\\PC{0,12}",
    ) {
        let name = format!("PREDICTD_{}", key.to_uppercase().replace('.', "__"));
        if let Err(error) = from("", &[(&name, &value)], Overrides::default()) {
            prop_assert!(error.to_string().lines().all(|line| line.starts_with(&name)), "{}", error);
        }
    }
}
