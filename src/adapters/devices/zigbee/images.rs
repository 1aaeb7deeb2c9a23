//! Firmware images in a folder. Reads files, on the host stack's own thread; knows no device.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::zigbee::network::ota::{Header, Images};

/// Files that are looked at.
const FILES_MAX: usize = 256;

/// The header lies within these octets, with what some makers put before it.
const HEAD_LEN: u64 = 4096;

pub struct Folder {
    path: PathBuf,
    /// The image that was read last, and where in its file it begins.
    open: Option<(Header, u64, File)>,
}

impl Folder {
    pub fn new(path: PathBuf) -> Folder {
        Folder { path, open: None }
    }

    /// Files of the folder that are images, with where the image begins. Looked at anew each time: their owner puts them there.
    fn files(&self) -> Vec<(PathBuf, u64, Header)> {
        let Ok(entries) = fs::read_dir(&self.path) else {
            tracing::warn!(folder = %self.path.display(), "the folder with firmware images cannot be read");
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).take(FILES_MAX).collect();
        paths.sort();
        paths.into_iter().filter_map(|path| read(&path).map(|(start, header)| (path, start, header))).collect()
    }
}

fn read(path: &Path) -> Option<(u64, Header)> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut head = Vec::new();
    file.take(HEAD_LEN).read_to_end(&mut head).ok()?;
    Header::find(&head, metadata.len()).ok()
}

impl Images for Folder {
    fn headers(&mut self) -> Vec<Header> {
        self.files().into_iter().map(|(_, _, header)| header).collect()
    }

    fn block(&mut self, image: &Header, offset: u32, len: u8) -> Option<Vec<u8>> {
        if self.open.as_ref().is_none_or(|(header, _, _)| header != image) {
            let (path, start, header) = self.files().into_iter().find(|(_, _, header)| header == image)?;
            self.open = Some((header, start, File::open(path).ok()?));
        }
        let (header, start, file) = self.open.as_mut()?;
        let wanted = u64::from(len).min(u64::from(header.size.saturating_sub(offset)));
        file.seek(SeekFrom::Start(*start + u64::from(offset))).ok()?;
        let mut bytes = Vec::new();
        file.take(wanted).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::types::MakerCode;

    #[test]
    fn images_are_found_among_other_files_and_read_from_where_they_begin() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut image = b"its maker's words".to_vec();
        let start = image.len();
        image.extend(0x0bee_f11eu32.to_le_bytes());
        for word in [0x0100u16, 56, 0, 0x1002, 0x0211] {
            image.extend(word.to_le_bytes());
        }
        image.extend(7u32.to_le_bytes());
        image.extend([0; 34]);
        image.extend(100u32.to_le_bytes());
        image.extend(0..44);
        fs::write(folder.path().join("lamp.ota"), &image).expect("room");
        fs::write(folder.path().join("readme.txt"), "no image").expect("room");
        let mut images = Folder::new(folder.path().to_owned());
        let headers = images.headers();
        assert_eq!(headers.len(), 1);
        assert_eq!((headers[0].maker, headers[0].version, headers[0].size), (MakerCode(0x1002), 7, 100));
        assert_eq!(images.block(&headers[0], 10, 20).as_deref(), Some(&image[start + 10..start + 30]));
        assert_eq!(images.block(&headers[0], 90, 50).map(|bytes| bytes.len()), Some(10), "no further than its end");
        fs::remove_file(folder.path().join("lamp.ota")).expect("it is there");
        assert!(Folder::new(folder.path().to_owned()).block(&headers[0], 0, 10).is_none());
    }
}
