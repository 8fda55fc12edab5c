//! The control groups that this process is in: where to read what they grant. Each on the way up to the root may grant less
//! than the one below, so that the least counts.

/// Which interface a group's files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The folders of the groups that may bind `controller`, from our own up to the root, as `/proc/self/cgroup` names them.
pub(super) fn folders(groups: &str, controller: &str) -> Vec<(Version, String)> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(mut path)) = (fields.next(), fields.next()) else { continue };
        let (version, root) = if controllers.is_empty() {
            (Version::V2, "/sys/fs/cgroup".to_owned())
        } else if controllers.split(',').any(|one| one == controller) {
            (Version::V1, format!("/sys/fs/cgroup/{controllers}"))
        } else {
            continue;
        };
        loop {
            let group = path.trim_end_matches('/');
            folders.push((version, format!("{root}{group}")));
            match group.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => break,
            }
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_up_to_the_root_is_named_in_both_versions() {
        let check = |groups: &str, expected: &[(Version, &str)]| {
            let found = folders(groups, "cpu");
            let found: Vec<(Version, &str)> =
                found.iter().map(|(version, folder)| (*version, folder.as_str())).collect();
            assert_eq!(found, expected, "{groups:?}");
        };
        use Version::{V1, V2};
        let up = [(V2, "/sys/fs/cgroup/a/b"), (V2, "/sys/fs/cgroup/a"), (V2, "/sys/fs/cgroup")];
        check("0::/a/b\n", &up);
        check("0::/\n", &[(V2, "/sys/fs/cgroup")]);
        let both = [
            (V1, "/sys/fs/cgroup/cpu,cpuacct/x"),
            (V1, "/sys/fs/cgroup/cpu,cpuacct"),
            (V2, "/sys/fs/cgroup"),
        ];
        check("5:memory:/x\n4:cpu,cpuacct:/x\n3:cpuset:/x\n0::/\n", &both);
        check("", &[]);
        check("rubbish\n1:cpu\n", &[]);
    }
}
