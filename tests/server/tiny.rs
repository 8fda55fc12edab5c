//! Models that tests make themselves, small and of known answers: bytes of protobuf by the numbers of onnx.proto.

pub(crate) const FLOAT: u64 = 1;
const INT64: u64 = 7;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field of a message that is a message or a string itself.
pub(crate) fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2)[..], &varint(content.len() as u64), content].concat()
}

/// A field that is a number.
pub(crate) fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// What the graph takes or gives: rows of `width` numbers.
pub(crate) fn rows(name: &str, width: u64) -> Vec<u8> {
    let dims = [field(1, &field(2, b"batch")), field(1, &number(1, width))].concat();
    let tensor = [number(1, FLOAT), field(2, &dims)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

pub(crate) fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[u8]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    [inputs, field(2, output.as_bytes()), field(4, operator.as_bytes()), attributes.to_vec()].concat()
}

pub(crate) fn graph(
    name: &str,
    nodes: &[Vec<u8>],
    initializers: &[Vec<u8>],
    inputs: &[Vec<u8>],
    outputs: &[Vec<u8>],
) -> Vec<u8> {
    let all =
        |number, parts: &[Vec<u8>]| parts.iter().flat_map(|part| field(number, part)).collect::<Vec<u8>>();
    [all(1, nodes), field(2, name.as_bytes()), all(5, initializers), all(11, inputs), all(12, outputs)]
        .concat()
}

fn model(graph: &[u8]) -> Vec<u8> {
    [number(1, 8), field(7, graph), field(8, &number(2, 13))].concat()
}

/// `y` is `value` for every row of `x`, whatever that is from 0 up to `elements`: looked up in a table of so many.
pub(crate) fn constant(value: f32, elements: usize) -> Vec<u8> {
    let content: Vec<u8> = value.to_le_bytes().repeat(elements);
    let table =
        [number(1, elements as u64), number(2, FLOAT), field(8, b"table"), field(9, &content)].concat();
    let to = field(5, &[field(1, b"to"), number(3, INT64), number(20, 2)].concat());
    let nodes = [node("Cast", &["x"], "index", &to), node("Gather", &["table", "index"], "y", &[])];
    model(&graph("g", &nodes, &[table], &[rows("x", 1)], &[rows("y", 1)]))
}

/// `y` is `x + w`, each a row of four numbers, `w` in a file of its own.
pub(crate) fn adds_what_is_in(file: &str) -> Vec<u8> {
    let entry =
        |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let external = number(14, 1);
    let weights =
        [number(1, 4), number(2, FLOAT), field(8, b"w"), entry("location", file), external].concat();
    let nodes = [node("Add", &["x", "w"], "y", &[])];
    model(&graph("g", &nodes, &[weights], &[rows("x", 4)], &[rows("y", 4)]))
}
