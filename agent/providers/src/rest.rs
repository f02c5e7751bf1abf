//! The rest of a text that is being read. In: a text, a length. Out: what was taken, and what is left. It must not know what the
//! text means.

/// Takes so many bytes off the beginning; all that is left, when it has fewer or the place is inside a letter.
pub(crate) fn take<'a>(rest: &mut &'a str, length: usize) -> &'a str {
    let (taken, left) = rest.split_at_checked(length).unwrap_or((rest, ""));
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_too_short() {
        let mut rest = "añb";
        assert_eq!((take(&mut rest, 1), rest), ("a", "ñb"));
        assert_eq!((take(&mut rest, 1), rest), ("ñb", ""));
        assert_eq!((take(&mut rest, 5), rest), ("", ""));
    }
}
