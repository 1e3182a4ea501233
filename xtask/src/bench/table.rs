//! Measurements as tables.

/// Prints rows in columns that are as wide as their widest cell; the first row is the head.
pub(super) fn print(title: &str, rows: &[Vec<String>]) {
    println!("\n{title}\n");
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).filter_map(width).collect();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        println!("  {}", cells.join("   "));
    }
    println!();
}

/// The cells of a row.
pub(super) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// One pair of measurements a row, and the medians, with the ratio of the second to the first.
pub(super) fn print_pairs(title: &str, unit: &str, pairs: &[[f64; 2]]) {
    let mut rows = vec![row(["pair", &format!("off ({unit})"), &format!("on ({unit})"), "on / off"])];
    let line = |name: String, [off, on]: [f64; 2], ratio: f64| {
        vec![name, format!("{off:.2}"), format!("{on:.2}"), format!("{ratio:.3}x")]
    };
    for (index, pair) in pairs.iter().enumerate() {
        rows.push(line((index + 1).to_string(), *pair, pair[1] / pair[0]));
    }
    let of = |value: fn(&[f64; 2]) -> f64| median(pairs.iter().map(value).collect());
    let ratio = of(|pair| pair[1] / pair[0]);
    rows.push(line("median".to_owned(), [of(|pair| pair[0]), of(|pair| pair[1])], ratio));
    print(title, &rows);
}

/// The middle value; the mean of the two middle ones where their number is even.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle() {
        for (values, middle) in
            [(vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 9.0], 3.0)]
        {
            assert!((median(values.clone()) - middle).abs() < f64::EPSILON, "{values:?}");
        }
    }
}
