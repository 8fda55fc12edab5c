//! What may be told of ONNX Runtime's messages, which are full of its own source files and of our paths.

/// What a client or a log line may see of ONNX Runtime's message: no source file, no C++ signature, no path, one line.
pub(super) fn one_line(message: &str) -> String {
    let message = message.rsplit("Status Message: ").next().unwrap_or(message);
    let mut words = message.split_whitespace().peekable();
    let mut kept: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        if is_source_location(word) {
            // A location is followed by the function that it lies in, up to the closing parenthesis of its parameters.
            let mut depth = 0i32;
            for word in words.by_ref() {
                depth += i32::try_from(word.matches('(').count()).unwrap_or(0);
                depth -= i32::try_from(word.matches(')').count()).unwrap_or(0);
                if depth <= 0 && word.contains(')') {
                    break;
                }
            }
        } else if word.starts_with('/') && word.len() > 1 {
            kept.push("(path)");
        } else {
            kept.push(word);
        }
    }
    let text = kept.join(" ");
    // "Load model from PATH failed:Protobuf parsing failed."
    let text = text.strip_prefix("Load model from (path) ").unwrap_or(&text);
    text.strip_prefix("failed:").unwrap_or(text).to_owned()
}

/// `/onnxruntime_src/.../gather.cc:42`
fn is_source_location(word: &str) -> bool {
    word.rsplit_once(':').is_some_and(|(file, line)| {
        [".cc", ".h", ".cpp", ".hpp"].iter().any(|end| file.ends_with(end)) && line.parse::<u32>().is_ok()
    })
}
