//! A stored object as a file of which only the ranges that are needed are fetched.
//!
//! Reading blocks, and is for threads that may block.
//!
//! A search by id reads the footer and the Bloom filters of a file, which are a small part of it. The file is divided into blocks
//! of equal size; a block is fetched when a byte of it is needed, and kept as long as the file is open, since the Parquet reader
//! returns to the footer again and again. In the worst case every block is fetched once.
//!
//! The bytes are not hashed: a part of an object has no hash of its own. A file in which something was found is hashed as a whole
//! afterwards.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use crate::store::Store;

/// Number of bytes that are fetched at a time: a footer is smaller, and a column of a row group as a rule too.
const BLOCK: u64 = 256 << 10;

/// Random access to one object; clones share what was fetched.
#[derive(Clone)]
pub(crate) struct RemoteFile(Arc<RemoteInner>);

struct RemoteInner {
    store: Arc<dyn Store>,
    key: String,
    length: u64,
    runtime: Handle,
    blocks: Mutex<BTreeMap<u64, Bytes>>,
}

impl RemoteFile {
    /// `length` in bytes, as the manifest names it. Needs a tokio runtime around it.
    pub fn new(store: Arc<dyn Store>, key: &str, length: u64) -> RemoteFile {
        let (key, runtime, blocks) = (key.to_owned(), Handle::current(), Mutex::default());
        RemoteFile(Arc::new(RemoteInner {
            store,
            key,
            length,
            runtime,
            blocks,
        }))
    }

    fn block(&self, number: u64) -> io::Result<Bytes> {
        let RemoteInner {
            store,
            key,
            length,
            runtime,
            blocks,
        } = &*self.0;
        let known = blocks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&number)
            .cloned();
        if let Some(block) = known {
            return Ok(block);
        }
        let range = number * BLOCK..((number + 1) * BLOCK).min(*length);
        let expected = range.end.saturating_sub(range.start);
        let read = runtime
            .block_on(store.read_at(key, range))
            .map_err(io::Error::other)?;
        let block = read
            .filter(|block| block.len() as u64 == expected)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        blocks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, block.clone());
        Ok(block)
    }

    fn piece(&self, start: u64) -> io::Result<Bytes> {
        if start >= self.0.length {
            return Ok(Bytes::new());
        }
        let block = self.block(start / BLOCK)?;
        Ok(block.slice(usize::try_from(start % BLOCK).unwrap_or(0).min(block.len())..))
    }
}

impl Length for RemoteFile {
    fn len(&self) -> u64 {
        self.0.length
    }
}

impl ChunkReader for RemoteFile {
    type T = RemoteReader;

    fn get_read(&self, start: u64) -> Result<RemoteReader, ParquetError> {
        Ok(RemoteReader {
            file: self.clone(),
            at: start,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = BytesMut::with_capacity(length.min(1 << 20));
        while bytes.len() < length {
            let piece = self.piece(start + bytes.len() as u64)?;
            if piece.is_empty() {
                return Err(ParquetError::EOF(
                    "the object ends before its footer says".to_owned(),
                ));
            }
            bytes.extend_from_slice(&piece[..piece.len().min(length - bytes.len())]);
        }
        Ok(bytes.freeze())
    }
}

/// Reads an object from one position onwards.
pub(crate) struct RemoteReader {
    file: RemoteFile,
    at: u64,
}

impl Read for RemoteReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.file.piece(self.at)?;
        let length = piece.len().min(into.len());
        into[..length].copy_from_slice(&piece[..length]);
        self.at += length as u64;
        Ok(length)
    }
}
