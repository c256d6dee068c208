//! Tables of text for a terminal: columns as wide as their widest cell, nothing in a cell acts on the terminal.

use textnlp_dataset::display;

/// Lays out rows below a heading; columns named in `right` are aligned to the right.
pub(crate) fn render(heading: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let clean = |cell: &str| display::line(cell);
    let heading: Vec<String> = heading.iter().map(|h| (*h).to_owned()).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|c| clean(c)).collect()).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|i| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            cells.chain([&heading[i]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in [&heading].into_iter().chain(&rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (cell, &width))| {
                if right.contains(&i) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_escapes_are_shown() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["b\u{1b}[2J".into(), "22".into()]];
        let expect = ["name         n", "a            1", "b\\u{1b}[2J  22", ""].join("\n");
        assert_eq!(render(&["name", "n"], &[1], &rows), expect);
    }
}
