//! Lists of byte strings as one byte string, without ambiguity.

/// Each part with its length before it (8 bytes, big endian), in order.
///
/// Two different lists never give the same bytes: `["ab", "c"]` and `["a", "bc"]` differ.
pub(super) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let size = parts.iter().map(|part| part.len() + size_of::<u64>()).sum();
    let mut framed = Vec::with_capacity(size);
    for part in parts {
        framed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        framed.extend_from_slice(part);
    }
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_letter_between_parts_changes_the_bytes() {
        assert_ne!(length_prefixed(&[b"ab", b"c"]), length_prefixed(&[b"a", b"bc"]));
        assert_ne!(length_prefixed(&[b"a", b""]), length_prefixed(&[b"a"]));
    }
}
