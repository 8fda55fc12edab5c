//! The largest elements of an output and where they are, as `value:index[:label]`: Triton's classification extension
//! (`extension_classification.md`, `classification.cc`).
//!
//! Unlike a classification recipe this is asked for by the request, of any output of numbers, and gives the model's own
//! values.

use bytemuck::AnyBitPattern;
use half::{bf16, f16};
use predictd_protocol::inference::{
    strings::Strings,
    tensor::{Data, Datatype, Tensor},
};
use std::cmp::Ordering;

/// Whether the elements have an order to rank them by. (Triton ranks neither FP16 nor BF16.)
#[must_use]
pub fn has_order(datatype: Datatype) -> bool {
    !matches!(datatype, Datatype::Bool | Datatype::Bytes)
}

/// Up to `count` of the largest elements of each row, largest first, of equal ones the lower index first: a `BYTES` tensor
/// of as many rows. Without rows, or dimensions, all elements are one list. `None` for elements that have no order.
#[must_use]
pub fn rank<'a>(
    output: &Tensor,
    has_rows: bool,
    count: usize,
    label: impl Fn(usize) -> Option<&'a str>,
) -> Option<Tensor> {
    let Data::Numbers(bytes) = output.data() else { return None };
    let (rows, row) = match output.shape() {
        [rows, row @ ..] if has_rows => (Some(*rows), row.iter().product()),
        _ => (None, output.elements()),
    };
    let texts = match output.datatype() {
        Datatype::Bool | Datatype::Bytes => return None,
        Datatype::Uint8 => texts(bytes, row, count, u8::cmp, |x| x.to_string(), label),
        Datatype::Uint16 => texts(bytes, row, count, u16::cmp, |x| x.to_string(), label),
        Datatype::Uint32 => texts(bytes, row, count, u32::cmp, |x| x.to_string(), label),
        Datatype::Uint64 => texts(bytes, row, count, u64::cmp, |x| x.to_string(), label),
        Datatype::Int8 => texts(bytes, row, count, i8::cmp, |x| x.to_string(), label),
        Datatype::Int16 => texts(bytes, row, count, i16::cmp, |x| x.to_string(), label),
        Datatype::Int32 => texts(bytes, row, count, i32::cmp, |x| x.to_string(), label),
        Datatype::Int64 => texts(bytes, row, count, i64::cmp, |x| x.to_string(), label),
        Datatype::Fp16 => texts(bytes, row, count, by_value::<f16>, print, label),
        Datatype::Bf16 => texts(bytes, row, count, by_value::<bf16>, print, label),
        Datatype::Fp32 => texts(bytes, row, count, by_value::<f32>, print, label),
        Datatype::Fp64 => texts(bytes, row, count, by_value::<f64>, print, label),
    };
    let shape = rows.into_iter().chain([count.min(row)]).collect();
    Some(Tensor::from_strings(shape, texts).expect("so many of each row"))
}

fn texts<'a, T: AnyBitPattern>(
    bytes: &[u8],
    row: usize,
    count: usize,
    order: impl Fn(&T, &T) -> Ordering,
    print: impl Fn(T) -> String,
    label: impl Fn(usize) -> Option<&'a str>,
) -> Strings {
    let mut texts: Vec<String> = Vec::new();
    // A row of nothing has no bytes to divide, and nothing to rank.
    for row in bytes.chunks_exact((row * size_of::<T>()).max(1)) {
        let elements: Vec<T> = row.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect();
        texts.extend(largest(&elements, count, &order).into_iter().map(|index| {
            let mut text = format!("{}:{index}", print(elements[index]));
            if let Some(label) = label(index) {
                text.push(':');
                text.push_str(label);
            }
            text
        }));
    }
    texts.into_iter().collect()
}

/// The places of the `count` largest elements, largest first, of equal ones the lower place first.
pub(super) fn largest<T>(elements: &[T], count: usize, order: impl Fn(&T, &T) -> Ordering) -> Vec<usize> {
    let falling = |a: &usize, b: &usize| order(&elements[*b], &elements[*a]).then(a.cmp(b));
    if count == 0 {
        return Vec::new();
    }
    let mut places: Vec<usize> = (0..elements.len()).collect();
    if count < places.len() {
        // Sorting all of a large vocabulary for five of it would take longer than some models.
        places.select_nth_unstable_by(count - 1, falling);
        places.truncate(count);
    }
    places.sort_unstable_by(falling);
    places
}

/// The order of floating-point numbers; what is not a number is as small as can be.
pub(super) fn by_value<T: Into<f64> + Copy>(a: &T, b: &T) -> Ordering {
    let value = |x: &T| -> f64 {
        let x: f64 = (*x).into();
        if x.is_nan() { f64::NEG_INFINITY } else { x }
    };
    value(a).total_cmp(&value(b))
}

/// As C prints it by `%f`.
fn print<T: Into<f64>>(number: T) -> String {
    let number: f64 = number.into();
    if number.is_nan() { "nan".into() } else { format!("{number:.6}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &Tensor, has_rows: bool, count: usize, shape: &[usize], expected: &[&str]) {
        let ranked = rank(output, has_rows, count, |_| None).unwrap();
        let expected = expected.iter().collect();
        assert_eq!(ranked.data(), &Data::Strings(expected), "{output:?}");
        assert_eq!(ranked.shape(), shape, "{output:?}");
    }

    #[test]
    fn each_row_is_ranked_by_itself_and_all_is_one_row_where_there_are_none() {
        let output = Tensor::from_numbers(vec![2, 3], vec![1.0f32, 10.5, -2.0, 7.0, 7.0, 8.0]).unwrap();
        check(&output, true, 2, &[2, 2], &["10.500000:1", "1.000000:0", "8.000000:2", "7.000000:0"]);
        check(&output, false, 3, &[3], &["10.500000:1", "8.000000:5", "7.000000:3"]);
        check(
            &output,
            true,
            1 << 60,
            &[2, 3],
            &["10.500000:1", "1.000000:0", "-2.000000:2", "8.000000:2", "7.000000:0", "7.000000:1"],
        );
        let column = Tensor::from_numbers(vec![2], vec![3i64, i64::MIN]).unwrap();
        check(&column, true, 5, &[2, 1], &["3:0", "-9223372036854775808:0"]);
        let scalar = Tensor::from_numbers(vec![], vec![7u8]).unwrap();
        check(&scalar, true, 5, &[1], &["7:0"]);
        let none = Tensor::from_numbers(vec![0, 4], Vec::<f64>::new()).unwrap();
        check(&none, true, 2, &[0, 2], &[]);
        let empty = Tensor::from_numbers(vec![4, 0], Vec::<f64>::new()).unwrap();
        check(&empty, true, 2, &[4, 0], &[]);
    }

    #[test]
    fn every_number_has_its_own_order_and_text() {
        // One apart, which no f64 could tell.
        let large = Tensor::from_numbers(vec![2], vec![u64::MAX - 1, u64::MAX]).unwrap();
        check(&large, false, 1, &[1], &["18446744073709551615:1"]);
        let small = Tensor::from_numbers(vec![3], vec![-1i8, 5, 3]).unwrap();
        check(&small, false, 2, &[2], &["5:1", "3:2"]);
        let half = Tensor::from_numbers(vec![2], vec![f16::from_f32(0.5), f16::from_f32(2.0)]).unwrap();
        check(&half, false, 2, &[2], &["2.000000:1", "0.500000:0"]);
        let brain = Tensor::from_numbers(vec![2], vec![bf16::from_f32(0.5), bf16::from_f32(2.0)]).unwrap();
        check(&brain, false, 1, &[1], &["2.000000:1"]);
        let odd = vec![f64::NAN, f64::NEG_INFINITY, 1e-7, f64::INFINITY, 1e21];
        let odd = Tensor::from_numbers(vec![5], odd).unwrap();
        check(
            &odd,
            false,
            5,
            &[5],
            &["inf:3", "1000000000000000000000.000000:4", "0.000000:2", "nan:0", "-inf:1"],
        );
        for datatype in [Datatype::Bool, Datatype::Bytes] {
            assert!(!has_order(datatype));
        }
        assert_eq!(rank(&Tensor::from_numbers(vec![1], vec![true]).unwrap(), false, 1, |_| None), None);
        let text = Tensor::from_strings(vec![1], ["x"].into_iter().collect()).unwrap();
        assert_eq!(rank(&text, false, 1, |_| None), None);
    }

    #[test]
    fn a_label_follows_where_there_is_one() {
        let output =
            Tensor::from_bytes(Datatype::Int16, vec![3], bytes::Bytes::from_static(b"\x01\0\x03\0\x02\0"));
        let ranked = rank(&output.unwrap(), false, 3, |index| ["cat", "dog"].get(index).copied()).unwrap();
        assert_eq!(ranked.data(), &Data::Strings(["3:1:dog", "2:2", "1:0:cat"].into_iter().collect()));
    }
}
