//! The headers of a tar file as POSIX.1-2017 `pax` has them under "ustar Interchange Format": plain files with short names, which
//! every tar can unpack. Holds no bytes of a member and opens no file.

/// The unit of a tar file, bytes.
pub const BLOCK: usize = 512;

/// Zeros at the end: two blocks.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The longest name in a header without a prefix, bytes.
const NAME_BYTES_MAX: usize = 100;

/// Why a header is none of a plain file with a short name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    #[error("it is no tar file")]
    NotTar,
    #[error("a header's checksum is wrong")]
    Checksum,
    #[error("a header has {0} that is none of a plain file")]
    Strange(&'static str),
}

/// The header of a plain file. `mtime_s`: seconds since 1970.
pub fn header(name: &str, bytes: u64, mtime_s: u64) -> [u8; BLOCK] {
    debug_assert!(name.len() <= NAME_BYTES_MAX && bytes < 1 << 33, "names and sizes are short");
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{bytes:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", mtime_s.min((1 << 33) - 1)).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(265, b"hearth\0");
    put(297, b"hearth\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Zeros that follow a member of so many bytes.
pub fn padding(bytes: u64) -> usize {
    (BLOCK - (bytes % BLOCK as u64) as usize) % BLOCK
}

/// Name and bytes of a plain file; `None` at the end of the tar.
pub fn parse(block: &[u8; BLOCK]) -> Result<Option<(String, u64)>, BadHeader> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if &block[257..262] != b"ustar" {
        return Err(BadHeader::NotTar);
    }
    // The checksum is that of the header with eight spaces in its place.
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
    if octal(&block[148..156]) != Some(sum - own + 8 * u64::from(b' ')) {
        return Err(BadHeader::Checksum);
    }
    if !matches!(block[156], b'0' | 0) {
        return Err(BadHeader::Strange("a link or a folder"));
    }
    if block[345] != 0 {
        return Err(BadHeader::Strange("a folder's name"));
    }
    let name = block[..NAME_BYTES_MAX].split(|byte| *byte == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|_| BadHeader::Strange("a name"))?;
    let bytes = octal(&block[124..136]).ok_or(BadHeader::Strange("a size"))?;
    Ok(Some((name.to_owned(), bytes)))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(|c| c == ' ' || c == '\0');
    // Rust takes a plus sign as well.
    u64::from_str_radix(text, 8).ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for (name, bytes) in [("manifest.json", 0), ("store.redb", 1), ("x", (1 << 33) - 1)] {
            assert_eq!(parse(&header(name, bytes, 1_795_342_500)), Ok(Some((name.to_owned(), bytes))));
        }
        assert_eq!(parse(&[0; BLOCK]), Ok(None));
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_block_panics_and_a_changed_byte_is_seen(at in 0..BLOCK, flip in 1..=255u8, noise in proptest::collection::vec(any::<u8>(), BLOCK)) {
            let noise: [u8; BLOCK] = noise.try_into().expect("a block");
            prop_assert!(parse(&noise).is_err());
            let mut block = header("store.redb", 12_345, 1);
            block[at] ^= flip;
            // Spaces and zeros around the digits of the checksum itself mean the same.
            prop_assert!((148..156).contains(&at) || parse(&block).is_err());
        }
    }
}
