//! Joining and splitting: every caller gets its own rows, whatever the shapes are.

use super::*;
use predictd_protocol::inference::{document::Document, tensor::Datatype};
use proptest::prelude::*;

fn numbers(shape: &[usize], first: i32) -> Tensor {
    let count = shape.iter().product::<usize>();
    Tensor::from_numbers(shape.to_vec(), (first..).take(count).collect()).unwrap()
}

fn strings(rows: usize, text: &str) -> Tensor {
    let strings = (0..rows).map(|row| Bytes::from(format!("{text}{row}"))).collect();
    Tensor::from_strings(vec![rows], strings).unwrap()
}

#[test]
fn requests_are_alike_where_only_rows_differ() {
    let row = |shape: &[usize]| vec![numbers(shape, 0)];
    assert!(alike(&row(&[1, 4]), &row(&[3, 4])));
    assert!(!alike(&row(&[1, 4]), &row(&[1, 5])));
    assert!(!alike(&row(&[1, 4]), &row(&[1, 4, 1])));
    assert!(!alike(&row(&[1]), &[strings(1, "")]));
    // Nothing to join: a scalar, no rows, rows that are not shared.
    assert!(!alike(&row(&[]), &row(&[])));
    assert!(!alike(&row(&[0, 4]), &row(&[0, 4])));
    assert!(!alike(&row(&[3, 0]), &row(&[3, 0])));
    assert!(!alike(&[numbers(&[1, 2], 0), numbers(&[2, 2], 0)], &[numbers(&[1, 2], 0), numbers(&[2, 2], 0)]));
    assert!(!alike(&row(&[1, 4]), &[numbers(&[1, 4], 0), numbers(&[1, 4], 0)]));
}

#[test]
fn rows_are_those_that_all_tensors_share() {
    let rows = |shapes: &[&[usize]]| rows(&shapes.iter().map(|shape| numbers(shape, 0)).collect::<Vec<_>>());
    for (shapes, expected) in [
        (&[&[3, 2][..], &[3]][..], 3),
        (&[&[3, 2], &[2]], 1),
        (&[&[3], &[]], 1),
        (&[], 1),
        // What is empty may claim anything.
        (&[&[0, 4]], 1),
        (&[&[1 << 24, 0]], 1),
    ] {
        assert_eq!(rows(shapes), expected, "{shapes:?}");
    }
}

#[test]
fn outputs_without_a_row_for_each_row_are_not_split() {
    assert_eq!(split(&[numbers(&[3, 2], 0), numbers(&[2], 0)], &[1, 2]), None);
    assert_eq!(split(&[numbers(&[], 0)], &[1]), None);
}

#[test]
fn strings_and_documents_keep_their_order() {
    let (a, b) = ([strings(2, "a")], [strings(1, "b")]);
    let joined = join(&[&a, &b]);
    let parts = split(&joined, &[2, 1]).unwrap();
    assert_eq!((&parts[0][..], &parts[1][..]), (&a[..], &b[..]));
    let documents = |tensor: &Tensor| {
        let documents =
            (0..tensor.shape()[0]).map(|row| Document::Tensor(tensor.row(row).unwrap())).collect();
        [Tensor::from_documents(tensor.shape().to_vec(), documents).unwrap()]
    };
    let (a, b) = (documents(&a[0]), documents(&b[0]));
    let parts = split(&join(&[&a, &b]), &[2, 1]).unwrap();
    assert_eq!((&parts[0][..], &parts[1][..]), (&a[..], &b[..]));
}

proptest! {
    #[test]
    fn what_is_joined_splits_into_what_it_was(
        tails in prop::collection::vec(prop::collection::vec(1usize..4, 0..3), 1..4),
        rows in prop::collection::vec(1usize..6, 1..9),
    ) {
        let mut next = 0;
        let requests: Vec<Vec<Tensor>> = rows
            .iter()
            .map(|rows| {
                let tensor = |tail: &Vec<usize>| {
                    next += 1000;
                    numbers(&[&[*rows], &tail[..]].concat(), next)
                };
                tails.iter().map(tensor).collect()
            })
            .collect();
        for pair in requests.windows(2) {
            prop_assert!(alike(&pair[0], &pair[1]));
        }
        let joined = join(&requests.iter().map(|tensors| &tensors[..]).collect::<Vec<_>>());
        prop_assert_eq!(joined[0].shape()[0], rows.iter().sum::<usize>());
        prop_assert_eq!(joined[0].datatype(), Datatype::Int32);
        prop_assert_eq!(split(&joined, &rows), Some(requests));
    }
}
