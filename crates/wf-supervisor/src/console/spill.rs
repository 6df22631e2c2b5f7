//! A store of blocks on disk for what must not grow in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Bytes of one block.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// The place of a block. Not `Clone`: each block that was put is taken once.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    number: u32,
    len: u32,
}

/// An unlinked temporary file of blocks, made when it is first needed. Places that were taken are used again, so
/// it is as large as the most it ever held at once.
#[derive(Debug)]
pub struct Spill {
    dir: PathBuf,
    file: Option<File>,
    free: Vec<u32>,
    end: u32,
}

impl Spill {
    /// A store whose file will be in `dir`.
    pub fn new(dir: PathBuf) -> Spill {
        Spill { dir, file: None, free: Vec::new(), end: 0 }
    }

    /// Stores `bytes`, at most [`BLOCK_BYTES`]. Fails when the disk is full; then nothing is stored.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<Block> {
        if bytes.len() > BLOCK_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more than one block"));
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.dir)?),
        };
        let number = self.free.last().copied().unwrap_or(self.end);
        file.write_all_at(bytes, Self::offset(number))?;
        if self.free.pop().is_none() {
            self.end += 1;
        }
        Ok(Block { number, len: bytes.len() as u32 })
    }

    /// Appends a block's bytes to `out` and frees its place, also when it cannot be read.
    pub fn take(&mut self, block: Block, out: &mut Vec<u8>) -> io::Result<()> {
        let start = out.len();
        out.resize(start + block.len as usize, 0);
        let read = match &self.file {
            Some(file) => file.read_exact_at(&mut out[start..], Self::offset(block.number)),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if read.is_err() {
            out.truncate(start);
        }
        self.free(block);
        read
    }

    /// Frees a block's place without reading it.
    #[expect(clippy::needless_pass_by_value, reason = "a place that was freed must not be used again")]
    pub fn free(&mut self, block: Block) {
        self.free.push(block.number);
        if self.free.len() == self.end as usize {
            // Nothing is stored: give the disk its space back. Should that fail, the places are used again.
            self.free.clear();
            self.end = 0;
            if let Some(file) = &self.file {
                let _ = file.set_len(0);
            }
        }
    }

    fn offset(number: u32) -> u64 {
        u64::from(number) * BLOCK_BYTES as u64
    }

    /// Blocks stored now.
    #[cfg(test)]
    pub fn blocks(&self) -> usize {
        self.end as usize - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_places_are_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(dir.path().to_owned());
        let one = spill.put(b"one").unwrap();
        let two = spill.put(&vec![2; BLOCK_BYTES]).unwrap();
        let mut out = Vec::new();
        spill.take(one, &mut out).unwrap();
        assert_eq!(out, b"one");
        let three = spill.put(b"three").unwrap();
        assert_eq!(three.number, 0);
        out.clear();
        spill.take(two, &mut out).unwrap();
        assert_eq!(out, vec![2; BLOCK_BYTES]);
        spill.free(three);
        assert_eq!(spill.blocks(), 0);
        assert_eq!(spill.file.as_ref().unwrap().metadata().unwrap().len(), 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it has no name");
        assert!(spill.put(&vec![0; BLOCK_BYTES + 1]).is_err());
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        assert!(Spill::new("/nonexistent".into()).put(b"x").is_err());
    }
}
