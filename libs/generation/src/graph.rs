//! The order in which a row's columns are generated: a column comes after every column that its templates name. Pure.

/// Columns that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("columns that need each other: {}", .0.join(" → "))]
pub struct Cycle(pub Vec<String>);

/// Orders columns so that each follows those it reads; where there is a choice, the order of the manifest stays.
///
/// `reads[i]` are the names that column `i`'s templates use; names that are no column are ignored.
pub fn order(names: &[String], reads: &[Vec<String>]) -> Result<Vec<usize>, Cycle> {
    let index = |name: &String| names.iter().position(|n| n == name);
    let needs: Vec<Vec<usize>> =
        reads.iter().map(|r| r.iter().filter_map(index).collect()).collect();
    let mut ordered = Vec::with_capacity(names.len());
    let mut placed = vec![false; names.len()];
    while ordered.len() < names.len() {
        let next =
            (0..names.len()).find(|&i| !placed[i] && needs[i].iter().all(|&d| placed[d] && d != i));
        match next {
            Some(i) => {
                placed[i] = true;
                ordered.push(i);
            }
            None => return Err(Cycle(cycle(names, &needs, &placed))),
        }
    }
    Ok(ordered)
}

/// Follows unmet needs from the first column that could not be placed until one repeats.
fn cycle(names: &[String], needs: &[Vec<usize>], placed: &[bool]) -> Vec<String> {
    let mut path: Vec<usize> = Vec::new();
    let mut at = placed.iter().position(|p| !p).unwrap_or(0);
    loop {
        if let Some(start) = path.iter().position(|&p| p == at) {
            path.drain(..start);
            path.push(at);
            return path.into_iter().map(|i| names[i].clone()).collect();
        }
        path.push(at);
        match needs[at].iter().find(|&&d| !placed[d]) {
            Some(&next) => at = next,
            None => return path.into_iter().map(|i| names[i].clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(columns: &[(&str, &[&str])], expect: Result<&[&str], &str>) {
        let names: Vec<String> = columns.iter().map(|c| c.0.to_owned()).collect();
        let reads: Vec<Vec<String>> =
            columns.iter().map(|c| c.1.iter().map(|s| (*s).to_owned()).collect()).collect();
        let found = order(&names, &reads)
            .map(|o| o.into_iter().map(|i| names[i].clone()).collect::<Vec<_>>())
            .map_err(|e| e.to_string());
        let expect = expect
            .map(|e| e.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
            .map_err(str::to_owned);
        assert_eq!(found, expect);
    }

    #[test]
    fn a_column_follows_the_columns_that_it_reads() {
        check(&[("subject", &["ticket"]), ("ticket", &["product"])], Ok(&["ticket", "subject"]));
        check(&[("a", &[]), ("b", &[]), ("c", &["a"])], Ok(&["a", "b", "c"]));
        check(&[("c", &["b", "a"]), ("b", &["a"]), ("a", &[])], Ok(&["a", "b", "c"]));
    }

    #[test]
    fn a_cycle_is_refused_and_shown() {
        check(&[("a", &["a"])], Err("columns that need each other: a → a"));
        check(
            &[("x", &["a"]), ("a", &["b"]), ("b", &["a"])],
            Err("columns that need each other: a → b → a"),
        );
    }
}
