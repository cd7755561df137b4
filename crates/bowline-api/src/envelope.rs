//! What can be read of sealed bytes without a key: which key sealed them.
//!
//! ```text
//! "BWLN" ‖ version (1) ‖ key id (16) ‖ …
//! ```

/// How sealed bytes begin.
pub const MAGIC: [u8; 4] = *b"BWLN";
/// The only version there is.
pub const VERSION: u8 = 1;
/// Bytes of a key's id.
pub const KEY_ID_LENGTH: usize = 16;

/// The id of the key that sealed these bytes; `None` if they are no envelope of a version that is known here.
pub fn key_id(sealed: &[u8]) -> Option<[u8; KEY_ID_LENGTH]> {
    let rest = sealed.strip_prefix(&MAGIC)?.strip_prefix(&[VERSION])?;
    rest.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_follows_the_version_and_nothing_else_has_one() {
        let sealed = [&MAGIC[..], &[VERSION], &[7; KEY_ID_LENGTH], b"salt and more"].concat();
        assert_eq!(key_id(&sealed), Some([7; KEY_ID_LENGTH]));
        assert_eq!(key_id(&sealed[..20]), None, "cut off");
        assert_eq!(key_id(&sealed[1..]), None);
        let newer = [&MAGIC[..], &[VERSION + 1], &[7; KEY_ID_LENGTH]].concat();
        assert_eq!(key_id(&newer), None);
    }
}
