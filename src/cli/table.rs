//! Tables as wide as there is room: columns that matter less are left out first, and long names are cut.

use super::{
    line::{Line, Piece, cut, width},
    paint::Ink,
};

/// A column of a table of `R`s.
pub(super) struct Column<R> {
    pub(super) title: &'static str,
    /// Numbers are read from the right.
    pub(super) right: bool,
    /// The highest is left out first; those of 0 stay.
    pub(super) rank: u8,
    /// Whether it may be cut, down to this width.
    pub(super) least: Option<usize>,
    pub(super) cell: fn(&R) -> Piece,
}

impl<R> Column<R> {
    /// Of words.
    pub(super) fn text(title: &'static str, rank: u8, cell: fn(&R) -> Piece) -> Self {
        Self { title, right: false, rank, least: None, cell }
    }

    /// Of figures.
    pub(super) fn number(title: &'static str, rank: u8, cell: fn(&R) -> Piece) -> Self {
        Self { right: true, ..Self::text(title, rank, cell) }
    }
}

const GAP: usize = 2;

/// The lines of it, the titles first.
pub(super) fn table<R>(columns: &[Column<R>], rows: &[R], room: usize) -> Vec<Line> {
    let cells: Vec<Vec<Piece>> =
        columns.iter().map(|column| rows.iter().map(|row| (column.cell)(row)).collect()).collect();
    let natural: Vec<usize> = columns
        .iter()
        .zip(&cells)
        .map(|(column, cells)| {
            cells.iter().map(|cell| width(&cell.text)).chain([width(column.title)]).max().unwrap_or_default()
        })
        .collect();
    let shown = shown(columns, &natural, room);
    let line = |cell_of: &dyn Fn(usize) -> Piece| {
        let mut line = Line::default();
        for (place, (at, width)) in shown.iter().enumerate() {
            let Piece { text, ink } = cell_of(*at);
            let text = cut(&text, *width);
            let padded = match (columns[*at].right, place + 1 == shown.len()) {
                (true, _) => format!("{text:>width$}"),
                (false, true) => text,
                (false, false) => format!("{text:width$}"),
            };
            if place > 0 {
                line.plain(" ".repeat(GAP));
            }
            line.push(padded, ink);
        }
        line
    };
    let titles = line(&|at| Piece::new(columns[at].title, Ink::Title));
    let rows = (0..rows.len()).map(|row| line(&|at| cells[at][row].clone()));
    std::iter::once(titles).chain(rows).collect()
}

/// Which columns there is room for, and how wide they are.
fn shown<R>(columns: &[Column<R>], natural: &[usize], room: usize) -> Vec<(usize, usize)> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    loop {
        let total: usize = kept.iter().map(|at| natural[*at] + GAP).sum::<usize>().saturating_sub(GAP);
        let mut over = total.saturating_sub(room);
        let mut widths: Vec<(usize, usize)> = kept.iter().map(|at| (*at, natural[*at])).collect();
        for (at, width) in &mut widths {
            let spare = columns[*at].least.map_or(0, |least| width.saturating_sub(least));
            *width -= spare.min(over);
            over -= spare.min(over);
        }
        let last = kept.iter().copied().max_by_key(|at| columns[*at].rank);
        match last.filter(|at| over > 0 && columns[*at].rank > 0) {
            Some(last) => kept.retain(|at| *at != last),
            None => return widths,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, &'static str, &'static str);

    fn columns() -> [Column<Row>; 3] {
        [
            Column {
                title: "NAME",
                right: false,
                rank: 0,
                least: Some(6),
                cell: |row| Piece::new(row.0, Ink::Plain),
            },
            Column {
                title: "COUNT",
                right: true,
                rank: 1,
                least: None,
                cell: |row| Piece::new(row.1, Ink::Plain),
            },
            Column {
                title: "MORE",
                right: false,
                rank: 2,
                least: None,
                cell: |row| Piece::new(row.2, Ink::Plain),
            },
        ]
    }

    #[test]
    fn what_matters_least_is_left_out_first_and_names_are_cut_before() {
        let rows = [("a-long-name", "1", "more of it"), ("b", "20000000", "")];
        for (room, expected) in [
            (40, "NAME            COUNT  MORE\na-long-name         1  more of it\nb            20000000  "),
            (30, "NAME         COUNT  MORE\na-long-…         1  more of it\nb         20000000  "),
            (25, "NAME            COUNT\na-long-name         1\nb            20000000"),
            (17, "NAME        COUNT\na-long…         1\nb        20000000"),
            (10, "NAME\na-long-na…\nb"),
            (3, "NAME\na-lon…\nb"),
        ] {
            let lines: Vec<String> = table(&columns(), &rows, room).iter().map(ToString::to_string).collect();
            assert_eq!(lines.join("\n"), expected, "{room}");
        }
    }
}
