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

/// Exactly `N` bytes from `2 * N` lower-case hexadecimal digits; nothing for any other text.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    // One text for each value: these are names that are compared.
    text.bytes().all(|byte| !byte.is_ascii_uppercase()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_letter_between_parts_changes_the_bytes() {
        assert_ne!(length_prefixed(&[b"ab", b"c"]), length_prefixed(&[b"a", b"bc"]));
        assert_ne!(length_prefixed(&[b"a", b""]), length_prefixed(&[b"a"]));
    }

    #[test]
    fn hexadecimal_goes_both_ways_and_refuses_the_rest() {
        assert_eq!(hex::encode([0x00, 0x9f, 0xff]), "009fff");
        assert_eq!(unhex::<3>("009fff"), Some([0x00, 0x9f, 0xff]));
        for wrong in ["", "009ff", "009fff00", "009fFf", "009fzz", "00é9f"] {
            assert_eq!(unhex::<3>(wrong), None, "{wrong}");
        }
    }
}
