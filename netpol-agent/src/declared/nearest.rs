//! Words that are nearly the same.

/// How many letters have to be changed, added, left out or swapped with the next one to make one word of the other.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    strsim::damerau_levenshtein(a, b)
}
