//! Columns that line up.

/// Spaces between columns.
const GAP: usize = 2;

/// Lines of cells; the first is the heading. Trailing blanks are cut.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| columns_of(cell)).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(cell);
        line.push_str(&" ".repeat(width + GAP - columns_of(cell)));
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

fn columns_of(cell: &str) -> usize {
    cell.chars().count()
}

/// A heading or a line from string slices.
pub fn cells<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}
