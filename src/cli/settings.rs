//! The configuration in force, as a file would have it, with where each value comes from.

use super::paint::{Ink, Paint};
use crate::config::{Config, Origin, Setting};
use std::{
    io::{self, Write},
    path::Path,
};

/// Columns of a terminal that nobody has made wider.
const WIDTH: usize = 80;

/// Prints what is set, or `all`, as TOML that could be a file.
pub(super) fn print(
    out: &mut dyn Write,
    config: &Config,
    file: Option<&Path>,
    all: bool,
    paint: Paint,
) -> io::Result<()> {
    let (set, default): (Vec<&Setting>, Vec<&Setting>) =
        config.settings.iter().partition(|setting| setting.origin != Origin::Default);
    let shown = if all { config.settings.iter().collect() } else { set };
    let file = file.map_or("no file: defaults, environment and flags".into(), |file| {
        std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
    });
    writeln!(out, "{}", paint.text(Ink::Aside, format!("# {file}")))?;
    for line in lines(&shown) {
        writeln!(out, "{}{}", line.toml, paint.text(Ink::Aside, line.origin))?;
    }
    if !all && !default.is_empty() {
        let count = default.len();
        let others = if shown.is_empty() { "keys" } else { "other keys" };
        let text = format!("# {count} {others} have their defaults; --all shows them");
        writeln!(out, "{}", paint.text(Ink::Aside, text))?;
    }
    Ok(())
}

/// A key with its value, and a comment after it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    toml: String,
    origin: String,
}

/// Aligns keys and, as far as 80 columns hold them, origins.
fn lines(settings: &[&Setting]) -> Vec<Line> {
    let wide = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let key_width = wide(&mut settings.iter().map(|setting| setting.key.len()));
    let values: Vec<String> = settings.iter().map(|setting| setting.value.to_string()).collect();
    let origins: Vec<String> =
        settings.iter().map(|setting| format!("  # {}", setting.origin.brief())).collect();
    let origin_width = wide(&mut origins.iter().map(|origin| origin.chars().count()));
    let room = WIDTH.saturating_sub(key_width + " = ".len() + origin_width);
    let columns = |value: &String| value.chars().count();
    let value_width = wide(&mut values.iter().map(columns).filter(|width| *width <= room));
    let line = |((setting, value), origin): ((&&Setting, &String), String)| Line {
        toml: format!("{:key_width$} = {value:value_width$}", setting.key),
        origin,
    };
    settings.iter().zip(&values).zip(origins).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, value: &str, origin: Origin) -> Setting {
        Setting { key: key.into(), value: value.into(), origin }
    }

    fn shown(settings: &[Setting]) -> Vec<String> {
        let settings: Vec<_> = settings.iter().collect();
        lines(&settings).into_iter().map(|line| line.toml + &line.origin).collect()
    }

    #[test]
    fn what_fits_is_aligned_and_a_long_value_moves_only_its_own_origin() {
        let variable = Origin::Variable("PREDICTD_LIMITS__BODY".into());
        let file = Origin::File { name: "/etc/predictd/predictd.toml".into(), line: 12, column: 9 };
        let long = "x".repeat(60);
        assert_eq!(
            shown(&[
                setting("limits.body", "64MiB", variable),
                setting("models", "/srv/models", file),
                setting("cache", &long, Origin::Default),
            ]),
            [
                "limits.body = \"64MiB\"        # PREDICTD_LIMITS__BODY".to_owned(),
                "models      = \"/srv/models\"  # predictd.toml:12".into(),
                format!("cache       = \"{long}\"  # default"),
            ]
        );
        assert!(shown(&[]).is_empty());
    }
}
