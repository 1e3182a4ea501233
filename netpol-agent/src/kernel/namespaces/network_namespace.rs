//! A network namespace.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
};

use nix::{
    libc,
    sys::statfs::{FsType, fstatfs},
};

/// Type of the file system that namespaces are files of (`NSFS_MAGIC`, include/uapi/linux/magic.h).
const NSFS: FsType = FsType(0x6e73_6673);

/// An open network namespace. The kernel keeps it as long as this value exists.
#[derive(Debug)]
pub struct NetworkNamespace {
    file: File,
    inode: u32,
}

impl NetworkNamespace {
    /// Opens a namespace by its file. `Ok(None)` if the file is no namespace, or not yet: a container runtime creates an
    /// empty file first, and then mounts the namespace on it.
    ///
    /// # Errors
    ///
    /// The file can't be opened.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        if fstatfs(&file)?.filesystem_type() != NSFS {
            return Ok(None);
        }
        let inode = u32::try_from(file.metadata()?.ino());
        Ok(inode.ok().map(|inode| Self { file, inode }))
    }

    /// Returns the inode number, by which records name the namespace.
    #[must_use]
    pub fn inode(&self) -> u32 {
        self.inode
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl PartialEq for NetworkNamespace {
    fn eq(&self, other: &Self) -> bool {
        self.inode == other.inode
    }
}

impl Eq for NetworkNamespace {}
