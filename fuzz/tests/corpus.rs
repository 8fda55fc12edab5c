//! Every file of every corpus, through the function that is fuzzed: what was found once is not found twice.

use std::{fs, path::Path};

#[test]
fn what_was_found_stays_fixed() {
    for (name, target) in predictd_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            let data = fs::read(&path).unwrap();
            // The name goes with the panic, which says nothing of it.
            println!("{}", path.display());
            target(&data);
            // Every prefix is an input too: a peer may stop anywhere.
            (0..data.len()).step_by(1 + data.len() / 16).for_each(|end| target(&data[..end]));
            count += 1;
        }
        assert!(count > 0, "{name} has no corpus");
    }
}
