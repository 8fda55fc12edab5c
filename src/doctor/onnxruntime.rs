//! ONNX Runtime's library and those of its execution providers: there, whole, and with all that they need?
//!
//! As `ldd` would look, but without loading anything: a library of a GPU's maker may do much when it is loaded.

use super::{
    Finding, Subject,
    elf::{self, Dynamic},
};
use crate::model::library::{self, LibraryError};
use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

const RUNTIME: Subject = Subject::OnnxRuntime;

/// Gets a package of pip's, and prints the path of its library. An environment of its own: Debian's pip refuses to install
/// outside of one, and two packages with an ONNX Runtime overwrite each other.
macro_rules! install {
    ($package:literal) => {
        concat!(
            "python3 -m venv /opt/",
            $package,
            " && /opt/",
            $package,
            "/bin/pip install '",
            $package,
            ">=1.24,<1.29' && ls /opt/",
            $package,
            "/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*   # then [onnxruntime] library = \
             \"what it prints\" (venv on Debian: apt-get install python3-venv)"
        )
    };
}

/// How to get an ONNX Runtime that is known to work.
pub(super) const INSTALL: &str = install!("onnxruntime");

/// What is to be seen.
#[derive(Debug)]
pub struct Seen {
    /// The library.
    pub library: Result<PathBuf, LibraryError>,
    /// What it needs and is nowhere: a library's name, and who needs it.
    pub missing: Vec<(String, String)>,
    /// Those beside it.
    pub providers: Vec<Provider>,
}

/// An execution provider's library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// `cuda`
    pub name: String,
    /// What is missing, and who needs it.
    pub missing: Vec<(String, String)>,
}

/// Looks.
#[must_use]
pub fn look(configured: Option<&Path>) -> Seen {
    let library = library::find(configured);
    let Ok(path) = &library else { return Seen { library, missing: Vec::new(), providers: Vec::new() } };
    let places = Places::of_system();
    let missing = places.missing(path);
    let providers =
        beside(path).into_iter().map(|(name, path)| Provider { missing: places.missing(&path), name });
    Seen { missing, providers: providers.collect(), library }
}

const STEM: &str = "libonnxruntime_providers_";

fn beside(library: &Path) -> Vec<(String, PathBuf)> {
    let entries =
        library.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let file = entry.file_name();
            let name = file.to_str()?.strip_prefix(STEM)?.strip_suffix(".so")?;
            (name != "shared").then(|| (name.to_owned(), entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// Where the dynamic linker looks: ld.so(8).
#[derive(Debug)]
struct Places {
    folders: Vec<PathBuf>,
    cached: BTreeSet<String>,
}

/// More than any library needs.
const LIBRARIES_MAX: usize = 500;

impl Places {
    fn of_system() -> Self {
        let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let fixed = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"].map(PathBuf::from);
        let folders =
            std::env::split_paths(&variable).filter(|path| !path.as_os_str().is_empty()).chain(fixed);
        let cache = fs::read("/etc/ld.so.cache").unwrap_or_default();
        Self { folders: folders.collect(), cached: cached(&cache) }
    }

    /// What is needed, by the library itself or by what it needs, and is nowhere.
    fn missing(&self, library: &Path) -> Vec<(String, String)> {
        let mut missing = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = VecDeque::from([library.to_owned()]);
        while let Some(path) = open.pop_front().filter(|_| seen.len() < LIBRARIES_MAX) {
            let Ok(Dynamic { needed, search }) = elf::dynamic(&path) else { continue };
            let origin = path.parent().unwrap_or(Path::new("/"));
            let search: Vec<PathBuf> = search
                .iter()
                .map(|folder| {
                    let origin = origin.to_string_lossy();
                    folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin).into()
                })
                .collect();
            let user = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for name in needed {
                if !seen.insert(name.clone()) {
                    continue;
                }
                let found = search.iter().chain(&self.folders).map(|folder| folder.join(&name));
                match found.into_iter().find(|path| path.is_file()) {
                    Some(path) => open.push_back(path),
                    // What the cache has, the system has with all that it needs.
                    None if self.cached.contains(&name) => {}
                    None => missing.push((name, user.clone())),
                }
            }
        }
        missing
    }
}

/// The names in glibc's cache: a header of 48 bytes, then entries of 24 with two offsets each.
fn cached(bytes: &[u8]) -> BTreeSet<String> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    let Some(start) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else {
        return BTreeSet::new();
    };
    let bytes = &bytes[start..];
    let word =
        |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize);
    let count = word(20).unwrap_or_default().min(bytes.len() / 24);
    let name = |number: usize| {
        let from = bytes.get(word(48 + number * 24 + 4)?..)?;
        let end = from.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&from[..end]).into_owned())
    };
    (0..count).filter_map(name).collect()
}

/// Everything that is wrong; `wanted` are the providers that the configuration names.
#[must_use]
pub fn findings(seen: &Seen, wanted: &[&str]) -> Vec<Finding> {
    let path = match &seen.library {
        Ok(path) => path,
        Err(error) => return vec![no_library(error)],
    };
    let mut found = Vec::new();
    if let Some((name, user)) = seen.missing.first() {
        found.push(
            RUNTIME
                .error("needs", format!("ONNX Runtime needs {name}, which is nowhere"))
                .at(format!("{user}: {}", names(&seen.missing)))
                .why("The library cannot be opened, and predictd does not start.")
                .fix(package(name).map_or_else(
                    || format!("apt-file search {name}   # which package has it; elsewhere: dnf provides '*/{name}'"),
                    |package| format!("apt-get install {package}"),
                )),
        );
    }
    for wanted in wanted.iter().filter(|wanted| **wanted != "cpu") {
        let provider = seen.providers.iter().find(|provider| provider.name == *wanted);
        let Some(provider) = provider else {
            found.push(
                RUNTIME
                    .error("provider", format!("the provider {wanted} is not in this ONNX Runtime"))
                    .at(path.display())
                    .why("Its library would lie beside it. Without it no model is loaded, unless fallback = true.")
                    .fix(match *wanted {
                        "cuda" | "tensorrt" => install!("onnxruntime-gpu"),
                        "migraphx" => install!("onnxruntime-migraphx"),
                        _ => install!("onnxruntime-openvino"),
                    }),
            );
            continue;
        };
        found.extend(unusable(provider).map(|(what, at)| {
            RUNTIME
                .error("provider", what)
                .at(at)
                .why("No model is loaded on it; with fallback = true they run on the next provider.")
                .fix(format!(
                    "ldconfig -p | grep {}   # then install it, or LD_LIBRARY_PATH",
                    stem(&provider.missing)
                ))
        }));
    }
    for provider in seen.providers.iter().filter(|provider| !wanted.contains(&&*provider.name)) {
        found.extend(unusable(provider).map(|(what, at)| {
            RUNTIME
                .note("provider", what)
                .at(at)
                .why("It is not asked for: onnxruntime.providers does not name it.")
                .fix(format!("ldconfig -p | grep {}   # should you want it", stem(&provider.missing)))
        }));
    }
    found
}

fn unusable(provider: &Provider) -> Option<(String, String)> {
    let (name, user) = provider.missing.first()?;
    let others = provider.missing.len() - 1;
    let more = if others > 0 { format!(" and {others} more libraries") } else { String::new() };
    let what = format!("the provider {} cannot be used: {name}{more} missing", provider.name);
    Some((what, format!("{user}: {}", names(&provider.missing))))
}

fn names(missing: &[(String, String)]) -> String {
    missing.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn stem(missing: &[(String, String)]) -> &str {
    missing.first().map_or("", |(name, _)| name.split(".so").next().unwrap_or_default())
}

/// Debian's package of a library that slim images leave out, or that everything needs.
fn package(name: &str) -> Option<&'static str> {
    match name.split(".so").next()? {
        "libstdc++" => Some("libstdc++6"),
        "libgcc_s" => Some("libgcc-s1"),
        "libgomp" => Some("libgomp1"),
        "libc" | "libm" | "libdl" | "libpthread" | "librt" => Some("libc6"),
        linker if linker.starts_with("ld-linux") => Some("libc6"),
        _ => None,
    }
}

fn no_library(error: &LibraryError) -> Finding {
    let what = match error {
        LibraryError::NotFound(_) => "ONNX Runtime is nowhere to be found".to_owned(),
        LibraryError::Damaged { .. } => "ONNX Runtime's library is damaged".to_owned(),
        LibraryError::Unreadable(..) => "ONNX Runtime's library cannot be read".to_owned(),
    };
    let place = match error {
        LibraryError::NotFound(places) => places.join(", "),
        other => other.to_string(),
    };
    let fix = match error {
        LibraryError::NotFound(_) => INSTALL.to_owned(),
        LibraryError::Damaged { path, .. } => format!("rm {}   # and fetch it again", path.display()),
        LibraryError::Unreadable(path, _) => format!("chmod a+r {}", path.display()),
    };
    RUNTIME
        .error("library", what)
        .at(place)
        .why("Without it no model can be loaded, and predictd does not start.")
        .fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::explain::explain;

    fn none() -> Seen {
        Seen { library: Ok("/x".into()), missing: Vec::new(), providers: Vec::new() }
    }

    fn provider(name: &str, missing: &[&str]) -> Provider {
        let missing = missing.iter().map(|name| ((*name).to_owned(), "x.so".to_owned())).collect();
        Provider { name: name.into(), missing }
    }

    fn check(seen: &Seen, wanted: &[&str], expected: &[&str]) {
        let found: Vec<String> =
            findings(seen, wanted).iter().map(|one| format!("{} {}", one.severity, one.what)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_provider_misses_is_named() {
        let seen = |providers: Vec<Provider>| Seen {
            library: Ok("/lib/ort.so".into()),
            missing: Vec::new(),
            providers,
        };
        check(&seen(vec![provider("cuda", &[])]), &["cuda", "cpu"], &[]);
        check(&seen(vec![]), &["cpu"], &[]);
        check(&seen(vec![]), &["cuda"], &["error the provider cuda is not in this ONNX Runtime"]);
        let broken = seen(vec![provider("cuda", &["libcudart.so.12", "libcublas.so.12"])]);
        let what = "the provider cuda cannot be used: libcudart.so.12 and 1 more libraries missing";
        check(&broken, &["cuda"], &[&format!("error {what}")]);
        check(&broken, &["cpu"], &[&format!("note {what}")]);
    }

    #[test]
    fn a_library_that_is_missing_or_lacks_something_is_named() {
        let lost = Seen {
            library: Err(LibraryError::NotFound(vec!["/x".into()])),
            missing: Vec::new(),
            providers: Vec::new(),
        };
        check(&lost, &["cpu"], &["error ONNX Runtime is nowhere to be found"]);
        let damaged = LibraryError::Damaged { path: "/x".into(), reason: "it is empty".into() };
        check(&Seen { library: Err(damaged), ..lost }, &[], &["error ONNX Runtime's library is damaged"]);
        let slim = Seen {
            library: Ok("/x".into()),
            missing: vec![("libstdc++.so.6".into(), "libonnxruntime.so".into())],
            providers: Vec::new(),
        };
        check(&slim, &[], &["error ONNX Runtime needs libstdc++.so.6, which is nowhere"]);
        for (name, fix) in [
            ("libstdc++.so.6", "apt-get install libstdc++6"),
            ("ld-linux-x86-64.so.2", "apt-get install libc6"),
            ("libnuma.so.1", "apt-file search libnuma.so.1   # which package has it"),
        ] {
            let slim = Seen { missing: vec![(name.into(), "libonnxruntime.so".into())], ..none() };
            assert!(findings(&slim, &[])[0].fix.starts_with(fix), "{name}");
        }
    }

    /// Of every text that is to be run, not only of one.
    #[test]
    fn what_pip_is_to_install_is_pinned_and_in_an_environment_of_its_own() {
        let lost = Seen { library: Err(LibraryError::NotFound(vec!["/x".into()])), ..none() };
        let mut fixes: Vec<String> = findings(&lost, &[]).into_iter().map(|one| one.fix).collect();
        for wanted in ["cuda", "tensorrt", "migraphx", "openvino"] {
            let seen = none();
            fixes.extend(findings(&seen, &[wanted]).into_iter().map(|one| one.fix));
        }
        fixes.extend(explain(&lost.library.unwrap_err().to_string()).map(|line| line.fix));
        assert_eq!(fixes.len(), 6, "{fixes:?}");
        for fix in &fixes {
            let package =
                fix.strip_prefix("python3 -m venv /opt/").and_then(|rest| rest.split(' ').next()).unwrap();
            assert!(
                fix.contains(&format!(" /opt/{package}/bin/pip install '{package}>=1.24,<1.29' ")),
                "{fix}"
            );
        }
        assert_eq!(fixes[0], fixes[5]);
        assert!(
            fixes[1].contains("onnxruntime-gpu") && fixes[4].contains("onnxruntime-openvino"),
            "{fixes:?}"
        );
    }

    #[test]
    fn a_program_that_runs_misses_nothing_and_the_cache_is_read() {
        let places = Places::of_system();
        let missing = places.missing(&std::env::current_exe().unwrap());
        assert!(missing.is_empty(), "{missing:?}");
        let empty = Places { folders: Vec::new(), cached: BTreeSet::new() };
        assert!(empty.missing(&std::env::current_exe().unwrap()).iter().any(|(name, _)| name == "libc.so.6"));
        assert!(places.cached.contains("libc.so.6"));
        assert!(cached(b"glibc-ld.so.cache1.1\xff\xff\xff\xff").is_empty() && cached(b"").is_empty());
    }
}
