//! Where the text of nginx's configuration comes from: files on disk, or what `nginx -T` printed of them.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

/// Files by their absolute path.
#[derive(Clone, Debug)]
pub enum Files {
    /// As they lie.
    Disk,
    /// As nginx printed them.
    Dump(BTreeMap<PathBuf, String>),
}

/// What precedes each file in nginx's dump.
const DUMP_MARK: &str = "# configuration file ";

/// What one file may have, and one dump.
const FILE_MAX: u64 = 8 << 20;

impl Files {
    /// Takes the output of `nginx -T` apart; gives the main file's path too, which comes first.
    #[must_use]
    pub fn of_dump(text: &str) -> Option<(Self, PathBuf)> {
        let (mut files, mut main, mut current) = (BTreeMap::<PathBuf, String>::new(), None, None);
        for line in text.split_inclusive('\n') {
            let path = line.trim_end().strip_prefix(DUMP_MARK).and_then(|path| path.strip_suffix(':'));
            if let Some(path) = path.map(PathBuf::from) {
                main.get_or_insert_with(|| path.clone());
                files.entry(path.clone()).or_default();
                current = Some(path);
            } else if let Some(text) = current.as_ref().and_then(|path| files.get_mut(path)) {
                text.push_str(line);
            }
        }
        Some((Self::Dump(files), main?))
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<String> {
        match self {
            Self::Dump(files) => files
                .get(path)
                .cloned()
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "nginx printed no such file")),
            Self::Disk => {
                let file = fs::File::open(path)?;
                if !file.metadata()?.is_file() {
                    return Err(io::Error::other("it is no file"));
                }
                let mut bytes = Vec::new();
                file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > FILE_MAX {
                    return Err(io::Error::other(format!("it is over {} MiB", FILE_MAX >> 20)));
                }
                // A comment in Latin-1 is no reason to give up.
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }

    /// The files that an include means, sorted as nginx has them; `None` where it names one file.
    pub(super) fn matching(&self, pattern: &str) -> Option<Vec<PathBuf>> {
        if !pattern.contains(['*', '?', '[']) {
            return None;
        }
        let options = glob::MatchOptions {
            require_literal_separator: true,
            require_literal_leading_dot: true,
            case_sensitive: true,
        };
        let mut found: Vec<PathBuf> = match self {
            Self::Dump(files) => {
                let pattern = glob::Pattern::new(pattern).ok()?;
                files.keys().filter(|path| pattern.matches_path_with(path, options)).cloned().collect()
            }
            Self::Disk => glob::glob_with(pattern, options).ok()?.filter_map(Result::ok).collect(),
        };
        found.sort();
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_taken_apart_into_its_files() {
        let dump = "nginx: noise\n# configuration file /etc/nginx/nginx.conf:\nhttp {\n}\n\n\
                    # configuration file /etc/nginx/conf.d/a.conf:\nserver { }\n";
        let (files, main) = Files::of_dump(dump).unwrap();
        assert_eq!(main, Path::new("/etc/nginx/nginx.conf"));
        assert_eq!(files.read(&main).unwrap(), "http {\n}\n\n");
        assert_eq!(
            files.matching("/etc/nginx/conf.d/*.conf"),
            Some(vec![PathBuf::from("/etc/nginx/conf.d/a.conf")])
        );
        assert_eq!(files.matching("/etc/nginx/*.conf").unwrap().len(), 1);
        assert_eq!(files.matching("/etc/nginx/mime.types"), None);
        assert!(Files::of_dump("nothing").is_none());
    }
}
