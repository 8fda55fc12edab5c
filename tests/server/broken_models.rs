//! What may be wrong with a model while its predecessor serves: each is said in one line, and changes nothing.

use crate::{
    deployment::Deployment,
    harness::predictd,
    tiny::{adds_what_is_in, constant},
};
use serde_json::json;
use std::{fs, os::unix::fs::symlink, path::Path};

/// One way to break the model in `folder`, which holds `model.onnx`, and what is said of it.
struct Case {
    what: &'static str,
    does: fn(&Path),
    says: &'static str,
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.join(name), content).unwrap();
}

fn replace(folder: &Path, content: impl AsRef<[u8]>) {
    write(folder, "model.onnx", content);
}

const CASES: &[Case] = &[
    Case {
        what: "is replaced by text",
        does: |folder| replace(folder, "hello, I am no model"),
        says: "Protobuf parsing failed.",
    },
    Case {
        what: "is truncated",
        does: |folder| {
            let whole = fs::read(folder.join("model.onnx")).unwrap();
            replace(folder, &whole[..whole.len() / 2]);
        },
        says: "Protobuf parsing failed.",
    },
    Case { what: "is empty", does: |folder| replace(folder, ""), says: "graph" },
    Case {
        what: "is removed, its folder is not",
        does: |folder| fs::remove_file(folder.join("model.onnx")).unwrap(),
        says: "its folder holds no model: neither a model.onnx, nor a version's folder with one",
    },
    Case {
        what: "is removed, its model.toml is not",
        does: |folder| {
            fs::remove_file(folder.join("model.onnx")).unwrap();
            write(folder, "model.toml", "");
        },
        says: "there is a model.toml, and neither a model.onnx nor a version's folder with one",
    },
    Case {
        what: "is a folder",
        does: |folder| {
            fs::remove_file(folder.join("model.onnx")).unwrap();
            fs::create_dir(folder.join("model.onnx")).unwrap();
        },
        says: "model.onnx is there, but it is no file",
    },
    Case {
        what: "is a link to nowhere",
        does: |folder| {
            fs::remove_file(folder.join("model.onnx")).unwrap();
            symlink("/nowhere/model.onnx", folder.join("model.onnx")).unwrap();
        },
        says: "model.onnx is a link to nowhere",
    },
    Case {
        what: "cannot be read",
        does: |folder| {
            fs::remove_file(folder.join("model.onnx")).unwrap();
            symlink("model.onnx", folder.join("model.onnx")).unwrap();
        },
        says: "model.onnx cannot be read: Too many levels of symbolic links (os error 40)",
    },
    Case {
        what: "is huge",
        does: |folder| fs::File::create(folder.join("model.onnx")).unwrap().set_len(5 << 30).unwrap(),
        says: "model.onnx has 5368709120 bytes; an ONNX file has less than 2 GiB, larger models keep their weights in files of their own",
    },
    Case {
        what: "is beside versions",
        does: |folder| {
            fs::create_dir(folder.join("2")).unwrap();
            write(folder, "2/model.onnx", constant(2.0, 4));
        },
        says: "it has both a model.onnx and folders of versions; keep one or the other",
    },
    Case {
        what: "is beside a bare file of its name",
        does: |folder| fs::write(folder.with_extension("onnx"), constant(2.0, 4)).unwrap(),
        says: "it is there twice, as a folder and as m.onnx; remove one",
    },
    Case {
        what: "lacks its external data",
        does: |folder| replace(folder, adds_what_is_in("weights.bin")),
        says: "External data path does not exist",
    },
    Case {
        what: "has its external data cut short",
        does: |folder| {
            replace(folder, adds_what_is_in("weights.bin"));
            write(folder, "weights.bin", [0; 3]);
        },
        says: "out of bounds",
    },
    Case {
        what: "names external data elsewhere",
        does: |folder| replace(folder, adds_what_is_in("../secret.bin")),
        says: "escapes",
    },
    Case {
        what: "has a link to elsewhere for external data",
        does: |folder| {
            replace(folder, adds_what_is_in("weights.bin"));
            write(folder.parent().unwrap(), "secret.bin", [0; 16]);
            symlink("../secret.bin", folder.join("weights.bin")).unwrap();
        },
        says: "its external data weights.bin is a link that leads out of the model's folder",
    },
    Case {
        what: "has a model.toml that is none",
        does: |folder| write(folder, "model.toml", "deadline = '5s'\n[batch\n"),
        says: "model.toml:2:7: unclosed table, expected `]`",
    },
    Case {
        what: "has a key that is none",
        does: |folder| write(folder, "model.toml", "deadlin = '5s'\n"),
        says: "model.toml:1:1: deadlin: there is no such key; did you mean `deadline`?",
    },
    Case {
        what: "wants versions that are not there",
        does: |folder| write(folder, "model.toml", "versions = [1, 7]"),
        says: "versions asks for version 7, which is not there",
    },
    Case {
        what: "has a recipe for a tensor that it has not",
        does: |folder| write(folder, "model.toml", "[input]\nkind = 'image'\ntensor = 'picture'"),
        says: "[input]: tensor = \"picture\": the model has no such input, it has `x`",
    },
    Case {
        what: "has a recipe for another tensor",
        does: |folder| write(folder, "model.toml", "[input]\nkind = 'image'"),
        says: "[input]: tensor `x` has shape [-1, 1], but a picture has 4 dimensions (batch, channels, height, width) or 3",
    },
    Case {
        what: "lacks its labels",
        does: |folder| write(folder, "model.toml", "[output]\nkind = 'classification'\nlabels = 'names.txt'"),
        says: "[output]: names.txt: No such file or directory (os error 2)",
    },
    Case {
        what: "has empty labels",
        does: |folder| {
            write(folder, "model.toml", "[output]\nkind = 'classification'");
            write(folder, "labels.txt", "\n");
        },
        says: "[output]: labels.txt: there are no labels in it",
    },
    Case {
        what: "has labels of JSON that is none",
        does: |folder| {
            write(folder, "model.toml", "[output]\nkind = 'classification'\nlabels = 'names.json'");
            write(folder, "names.json", "{");
        },
        says: "[output]: names.json: EOF while parsing",
    },
];

#[test]
fn a_broken_model_says_why_and_leaves_the_old_one_serving() {
    let good = constant(1.0, 4);
    let deployment = Deployment::of(&[("m/model.onnx", &good), ("other.onnx", &constant(2.0, 4))]);
    let folder = deployment.models().join("m");
    let mut others = Vec::new();
    for Case { what, does, says } in CASES {
        does(&folder);
        let reply = deployment.admin("POST", "/reload", "");
        assert_eq!(reply.status, 500, "a model that {what}");
        let body = reply.json();
        let m = &body["models"][0];
        assert_eq!(
            (&m["name"], &m["outcome"], &m["versions"]),
            (&json!("m"), &json!("failed"), &json!(["1"])),
            "{what}"
        );
        let reason = m["reason"].as_str().unwrap();
        if !reason.contains(says) {
            others.push(format!("a model that {what}: {reason}\n  instead of: {says}"));
        }
        assert!(!reason.contains('\n') && !reason.contains("/tmp"), "{reason}");
        assert_eq!(body["models"][1]["outcome"], "unchanged", "{what}");
        assert_eq!(body["error"], "1 unchanged, 1 failed");
        assert_eq!(deployment.predict("m"), 1.0, "{what}");
        deployment.server.get("/v2/health/ready").ok();
        let index = deployment.admin("POST", "/v2/repository/index", "").ok();
        let said = format!("as it was before, since the last load failed: {reason}");
        assert_eq!(index[0], json!({"name": "m", "version": "1", "state": "READY", "reason": said}));
        // And as it was before.
        fs::remove_dir_all(&folder).unwrap();
        let _ = fs::remove_file(folder.with_extension("onnx"));
        deployment.put("m/model.onnx", &good);
        assert_eq!(deployment.outcomes(), json!({"m": "loaded", "other": "unchanged"}), "{what}");
        assert_eq!(deployment.states(), json!({"m/1": "ready", "other/1": "ready"}));
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn a_folder_of_models_that_cannot_be_read_takes_nothing_away() {
    let deployment = Deployment::of(&[("m.onnx", &constant(1.0, 4))]);
    let models = deployment.models();
    fs::rename(&models, models.with_extension("away")).unwrap();
    let error = deployment.admin("POST", "/reload", "").error(500);
    let said =
        "the folder of models cannot be read, and none was changed: No such file or directory (os error 2)";
    assert_eq!(error, said);
    assert_eq!(deployment.predict("m"), 1.0);
    let (code, _, err) = deployment.run("reload", &[]);
    assert_eq!((code, &*err), (78, &*format!("predictd: {said}\n")));
    fs::rename(models.with_extension("away"), &models).unwrap();
    assert_eq!(deployment.outcomes(), json!({"m": "unchanged"}));
}

#[test]
fn a_start_whose_load_does_not_end_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("models/endless");
    fs::create_dir_all(&model).unwrap();
    let settings = "kind = 'fake'\ndeadline = '100ms'\n[fake]\nload = '1h'\nignore_terminate = true";
    write(&model, "model.toml", settings);
    write(folder.path(), "predictd.toml", "admin = ''\n[workers]\nstuck_after = '100ms'");
    for verb in ["serve", "check"] {
        let mut command = predictd();
        command.arg(verb).arg("--allow-fake").arg("--config").arg(folder.path().join("predictd.toml"));
        command.arg("--listen").arg(format!("unix:{}", folder.path().join("s").display()));
        let output = command.arg("--models").arg(folder.path().join("models")).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(78), "{verb}: {text}");
        assert!(text.contains("loading it did not end within 0 s, and was given up"), "{verb}: {text}");
        assert!(!folder.path().join("s").exists(), "{verb}");
    }
}
