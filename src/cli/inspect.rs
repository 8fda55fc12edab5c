//! `predictd inspect`: what a model takes and gives, what its maker wrote down, how long it takes, and a model.toml to start
//! from.

use super::{
    CONFIG,
    figures::{self, spoken},
    models::tensors,
};
use crate::{
    config::{self, Overrides},
    model::{
        metadata::Metadata,
        onnx::{Options, Runtime},
    },
    server,
    serving::{self, Inspection, Timing},
};
use clap::Args;
use std::{
    io::{self, Write, stdout},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
};

#[derive(Args, Debug)]
pub(super) struct Inspect {
    /// The model
    #[arg(value_name = "FILE.onnx")]
    file: PathBuf,
    /// A configuration file, for where ONNX Runtime is
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Cores of one run
    #[arg(long, value_name = "COUNT", default_value = "1")]
    threads: NonZeroUsize,
    /// Rows of the larger runs that are timed
    #[arg(long, value_name = "COUNT", default_value = "8")]
    rows: NonZeroUsize,
    /// Print only a model.toml to start from
    #[arg(long)]
    toml: bool,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(self.config.as_deref(), config::environment(), Overrides::default())?;
        let runtime = server::open_runtime(&config)?;
        runtime.passed_over().iter().for_each(|provider| eprintln!("warning: {provider}"));
        let options = Options {
            threads: self.threads.get(),
            optimization: Default::default(),
            memory_arena: true,
            usual_rows: self.rows.get(),
            copies: 1,
        };
        let inspection = match serving::inspect(&runtime, &self.file, &options) {
            Ok(inspection) => inspection,
            Err(error) => {
                eprintln!("predictd: {}: {error}", self.file.display());
                return Ok(CONFIG.into());
            }
        };
        let starter = serving::starter(&inspection.signature, inspection.alone.as_deref());
        let mut out = stdout();
        // Where nobody reads any more, there is nobody to tell.
        let _ = if self.toml {
            write!(out, "{starter}")
        } else {
            self.print(&mut out, &runtime, &inspection, &starter)
        };
        Ok(ExitCode::SUCCESS)
    }

    fn print(
        &self,
        out: &mut dyn Write,
        runtime: &Runtime,
        inspection: &Inspection,
        starter: &str,
    ) -> io::Result<()> {
        let Inspection { signature, metadata, loaded, alone, timings } = inspection;
        writeln!(out, "{}, by {} on {}", self.file.display(), runtime.version(), runtime.providers())?;
        tensors(out, "in", &signature.inputs, None)?;
        tensors(out, "out", &signature.outputs, None)?;
        for (name, text) in said(metadata) {
            writeln!(out, "        {name:6} {}", one_line(&text))?;
        }
        writeln!(out, "        loads  in {}", spoken(*loaded))?;
        let threads = self.threads;
        match timings {
            Ok(timings) => timings
                .iter()
                .try_for_each(|timing| writeln!(out, "        runs   {}", line(timing, threads.get()))),
            Err(reason) => writeln!(out, "        runs   not on numbers that are made up: {reason}"),
        }?;
        match alone {
            None => writeln!(out, "        shares runs: the rows of several requests can be one run")?,
            Some(reason) => writeln!(out, "        shares no runs: {reason}")?,
        }
        writeln!(out, "\nA model.toml to start from (predictd inspect --toml):\n")?;
        starter.lines().try_for_each(|line| writeln!(out, "{}", format!("    {line}").trim_end()))
    }
}

/// `12.3 us for 1 row (the first took 2.1 ms), 81,300 rows/s on 1 core`
fn line(timing: &Timing, threads: usize) -> String {
    let Timing { rows, first, median, runs } = timing;
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (of, count, what) = match rows {
        Some(rows) => (format!(" for {rows} row{}", plural(*rows)), *rows, "rows"),
        None => (String::new(), 1, "runs"),
    };
    let rate = count as f64 / median.as_secs_f64().max(1e-9);
    format!(
        "in {}{of}, {} {what}/s on {threads} core{} (the median of {runs}; the first took {})",
        spoken(*median),
        figures::rate(rate),
        plural(threads),
        spoken(*first)
    )
}

/// What the file says, under short names.
fn said(metadata: &Metadata) -> Vec<(&'static str, String)> {
    let opsets = metadata.opsets.iter().map(|(domain, version)| {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        format!("{domain} {version}")
    });
    let mut said = vec![
        ("made", format!("{} {}", metadata.producer, metadata.producer_version)),
        ("of", metadata.domain.clone()),
        ("opset", opsets.collect::<Vec<_>>().join(", ")),
        ("format", metadata.ir_version.map_or_else(String::new, |version| format!("ONNX IR {version}"))),
        (
            "count",
            metadata
                .model_version
                .filter(|version| *version > 0)
                .map_or_else(String::new, |version| version.to_string()),
        ),
        ("is", metadata.description.clone()),
    ];
    said.extend(metadata.properties.iter().map(|(key, value)| ("says", format!("{key} = {value}"))));
    said.retain(|(_, text)| !text.trim().is_empty());
    said
}

/// As much of a text as fits a line.
fn one_line(text: &str) -> String {
    const SHOWN: usize = 100;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = line.chars().filter(|character| !character.is_control()).collect();
    match plain.char_indices().nth(SHOWN) {
        None => plain,
        Some((end, _)) => format!("{}... ({} characters)", &plain[..end], text.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_timing_is_a_line() {
        let timing = Timing {
            rows: Some(8),
            first: Duration::from_millis(2),
            median: Duration::from_micros(80),
            runs: 2000,
        };
        let expected =
            "in 80.0 us for 8 rows, 100,000 rows/s on 1 core (the median of 2000; the first took 2.0 ms)";
        assert_eq!(line(&timing, 1), expected);
        let timing = Timing { rows: None, median: Duration::from_secs(2), ..timing };
        assert_eq!(
            line(&timing, 2),
            "in 2.00 s, 0.5 runs/s on 2 cores (the median of 2000; the first took 2.0 ms)"
        );
    }

    #[test]
    fn texts_of_strangers_are_one_plain_line() {
        assert_eq!(one_line("a\n\x1b[31mb"), "a [31mb");
        assert_eq!(one_line(&"x".repeat(150)), format!("{}... (150 characters)", "x".repeat(100)));
    }
}
