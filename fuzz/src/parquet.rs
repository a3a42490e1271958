//! A Parquet file, whole ones that were damaged among them.

use apportion::schema::Table;

/// Reads the file as the table that its first byte chooses.
pub fn run(data: &[u8]) -> String {
    let (table, data) = match data.split_first() {
        Some((b'o', data)) => (Table::Orders, data),
        Some((b'u', data)) => (Table::Users, data),
        Some((_, data)) => (Table::Sessions, data),
        None => (Table::Sessions, data),
    };
    let path = crate::written("table.parquet", data);
    match crate::table(table, &path) {
        Ok(loaded) => {
            let rules: Vec<_> = loaded.rejects.iter().map(|reject| reject.rule.name()).collect();
            format!("{} rows {rules:?}", loaded.rows.num_rows().min(9))
        }
        Err(error) => {
            let whole = error.in_full();
            crate::outcome::<()>(Err(whole))
        }
    }
}
