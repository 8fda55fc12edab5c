//! What may be told of ONNX Runtime's messages, which are full of its own source files and of our paths.

/// What a client or a log line may see of ONNX Runtime's message: no source file, no C++ signature, no path, one line.
pub(super) fn one_line(message: &str) -> String {
    let message = message.rsplit("Status Message: ").next().unwrap_or(message);
    // "Load model from PATH failed:Protobuf parsing failed."
    let load = message.strip_prefix("Load model from ").and_then(|message| message.split_once(" failed:"));
    let message = without_quoted_paths(load.map_or(message, |(_, reason)| reason));
    let mut words = message.split_whitespace().peekable();
    let mut kept: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        if is_source_location(word) && !word.starts_with('/') {
            // A short location is followed by the function's name.
            words.next();
        } else if is_source_location(word) {
            // A long one by all of the function, up to the closing parenthesis of its parameters.
            let mut depth = 0i32;
            for word in words.by_ref() {
                depth += i32::try_from(word.matches('(').count()).unwrap_or(0);
                depth -= i32::try_from(word.matches(')').count()).unwrap_or(0);
                if depth <= 0 && word.contains(')') {
                    break;
                }
            }
            words.next_if_eq(&"const");
        } else if word == "[ONNXRuntimeError]" {
            // "[ONNXRuntimeError] : 1 : FAIL : "
            words.by_ref().take(5).for_each(drop);
        } else if word.starts_with('/') && word.len() > 1 {
            kept.push("(path)");
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// `"/srv/my models/m"` has a blank in it, so that it is no word.
fn without_quoted_paths(message: &str) -> String {
    let mut parts = message.split("\"/");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("(path)");
        text.push_str(part.split_once('"').map_or("", |(_, after)| after));
    }
    text
}

/// `/onnxruntime_src/.../gather.cc:42`
fn is_source_location(word: &str) -> bool {
    word.rsplit_once(':').is_some_and(|(file, line)| {
        [".cc", ".h", ".cpp", ".hpp"].iter().any(|end| file.ends_with(end)) && line.parse::<u32>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_not_told() {
        for (message, told) in [
            ("Load model from /srv/m.onnx failed:Protobuf parsing failed.", "Protobuf parsing failed."),
            ("Load model from my models/m.onnx failed:it is none", "it is none"),
            (
                "path: \"../w\" resolved: \"/srv/my models/w\" in \"/srv/x\"",
                "path: \"../w\" resolved: (path) in (path)",
            ),
            ("cut \"/srv/my mod", "cut (path)"),
            ("a / b", "a / b"),
        ] {
            assert_eq!(one_line(message), told);
        }
    }

    #[test]
    fn where_in_the_source_is_not_told() {
        for (message, told) in [
            ("Error: tensorprotoutils.cc:453 ValidateExternal data is missing", "Error: data is missing"),
            (
                "During: /src/core/initializer.cc:51 onnx::Init::Init(const T&, const path&) [ONNXRuntimeError] : 1 : FAIL : utils.cc:9 Get w is out of bounds",
                "During: w is out of bounds",
            ),
            ("/src/gather.cc:7 virtual Status onnx::Gather::Compute(Context*) const index=9", "index=9"),
        ] {
            assert_eq!(one_line(message), told);
        }
    }
}
