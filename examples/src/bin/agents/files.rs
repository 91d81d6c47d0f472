//! Files: which there are below a path, what of them can be read, and reading them in chunks.
//!
//! Nothing here ends the program: whatever cannot be read is an error that says why, by name ([`Skip`]). A file is held in no
//! larger piece than [`CHUNK_MAX`] bytes, and one chunk at a time.

use crate::text::Chunk;
use bytes::Bytes;
use serde::Serialize;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use walkdir::{DirEntry, WalkDir};

/// How much of a file is read at once, in bytes.
pub(crate) const CHUNK_MAX: usize = 64 * 1024;

/// After how many chunks it is looked whether the file is still the one that was opened.
const CHUNKS_BETWEEN_LOOKS: u64 = 64;

/// A folder or file to begin with, and what the names of the files in it begin with.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) prefix: String,
}

/// A file that may be readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// What it is called in what is printed: its path below the root, with `/` on each system.
    pub(crate) name: String,
    /// Its length in bytes when it was found.
    pub(crate) len: u64,
}

/// Why a file is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", content = "detail", rename_all = "snake_case")]
#[non_exhaustive]
pub(crate) enum Skip {
    #[error("empty")]
    Empty,
    /// It has a NUL, or much that is no UTF-8, among its first bytes.
    #[error("binary")]
    Binary,
    /// A pipe, a socket, a device.
    #[error("not a regular file")]
    NotAFile,
    #[error("a symbolic link to a folder it lies in")]
    LinkLoop,
    /// It was there when it was looked for. Also a link that leads nowhere.
    #[error("removed")]
    Removed,
    /// It became another while it was read. Who reads it again from its beginning may have more luck.
    #[error("changed while it was read")]
    Changed,
    /// The system's own words say why.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

impl From<io::Error> for Skip {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            ErrorKind::NotFound => Self::Removed,
            kind => Self::Unreadable(kind.to_string()),
        }
    }
}

/// A file that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) why: Skip,
}

/// All files below the roots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) found: Vec<Found>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Finds the files below `roots`, each root in turn and its files by name. Hidden ones and `target` folders are passed
/// over, unless they are the root; links are followed.
///
/// # Errors
///
/// A root itself cannot be looked at: nothing was asked for that could be done.
pub(crate) fn walk(roots: &[Root]) -> Result<Walk, (PathBuf, io::Error)> {
    let mut walk = Walk::default();
    for root in roots {
        std::fs::metadata(&root.path).map_err(|e| (root.path.clone(), e))?;
        let entries = WalkDir::new(&root.path).follow_links(true).sort_by_file_name();
        for entry in entries.into_iter().filter_entry(|entry| entry.depth() == 0 || is_wanted(entry)) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => {
                    let name = name(root, entry.path());
                    match entry.metadata() {
                        Ok(data) if data.is_file() => {
                            walk.found.push(Found { path: entry.into_path(), name, len: data.len() });
                        }
                        Ok(_) => walk.skipped.push(Skipped { name, why: Skip::NotAFile }),
                        Err(e) => walk.skipped.push(Skipped { name, why: why(e) }),
                    }
                }
                Err(e) => {
                    let name = name(root, e.path().unwrap_or(&root.path));
                    walk.skipped.push(Skipped { name, why: why(e) });
                }
            }
        }
    }
    Ok(walk)
}

fn is_wanted(entry: &DirEntry) -> bool {
    let name = entry.file_name().as_encoded_bytes();
    let is_hidden = name.starts_with(b".");
    let is_built = name == b"target" && entry.file_type().is_dir();
    !is_hidden && !is_built
}

fn name(root: &Root, path: &Path) -> String {
    let below = path.strip_prefix(&root.path).unwrap_or(path);
    let mut name = root.prefix.clone();
    for part in below {
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(&part.to_string_lossy());
    }
    if name.is_empty() {
        // The root is itself a file.
        name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    }
    name
}

fn why(e: walkdir::Error) -> Skip {
    if e.loop_ancestor().is_some() {
        return Skip::LinkLoop;
    }
    e.into_io_error().map_or(Skip::LinkLoop, Skip::from)
}

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    file: File,
    opened: Identity,
    at: u64,
    chunks: u64,
    /// The beginning of a character whose end has not been read yet.
    held: Vec<u8>,
}

/// What tells a file from another one, and from itself at another time.
pub(crate) type Mark = Identity;

/// See [`Mark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    len: u64,
    modified: Option<std::time::SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64),
}

impl Identity {
    fn of(data: &Metadata) -> Self {
        Self {
            len: data.len(),
            modified: data.modified().ok(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;
                (data.dev(), data.ino())
            },
        }
    }
}

impl Reader {
    /// Opens a file, to be read from its beginning.
    ///
    /// # Errors
    ///
    /// It is gone, cannot be read, is no file, or is empty.
    #[cfg(test)]
    pub(crate) async fn open(path: &Path) -> Result<Self, Skip> {
        Self::open_at(path, 0).await
    }

    /// Opens a file, to be read from where a chunk of it ended, in bytes.
    ///
    /// # Errors
    ///
    /// It is gone, cannot be read, is no file, or is empty.
    pub(crate) async fn open_at(path: &Path, at: u64) -> Result<Self, Skip> {
        // Looked at before it is opened: to open a pipe is to wait for its writer.
        let data = tokio::fs::metadata(path).await?;
        if !data.is_file() {
            return Err(Skip::NotAFile);
        }
        let mut file = File::open(path).await?;
        let opened = Identity::of(&file.metadata().await?);
        if opened.len == 0 {
            return Err(Skip::Empty);
        }
        if at > 0 {
            file.seek(std::io::SeekFrom::Start(at)).await?;
        }
        Ok(Self { path: path.to_owned(), file, opened, at, chunks: 0, held: Vec::new() })
    }

    /// What the file was when it was opened: a reader that begins where another one stopped must find the same.
    pub(crate) fn mark(&self) -> Mark {
        self.opened.clone()
    }

    /// The next chunk; none at the end of the file. Chunks follow each other without a gap, end where a character does (if
    /// the file is UTF-8), and have [`CHUNK_MAX`] bytes at most.
    ///
    /// # Errors
    ///
    /// The first bytes are not those of a text, or the file was removed, replaced or written to since it was opened: what was
    /// read of it before counts for nothing.
    ///
    /// # Cancel safety
    ///
    /// None: a reader whose `next` was dropped midway has lost its place. Open the file again.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, Skip> {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.reserve_exact(CHUNK_MAX - bytes.len());
        while bytes.len() < CHUNK_MAX {
            let room = (CHUNK_MAX - bytes.len()) as u64;
            if (&mut self.file).take(room).read_buf(&mut bytes).await? == 0 {
                break;
            }
        }
        let is_last = bytes.len() < CHUNK_MAX;
        if self.at == 0 && is_binary(&bytes) {
            return Err(Skip::Binary);
        }
        self.chunks += 1;
        let end = self.at + bytes.len() as u64;
        if is_last && end != self.opened.len || end > self.opened.len {
            self.look().await?;
            return Err(Skip::Changed);
        }
        if is_last || self.chunks.is_multiple_of(CHUNKS_BETWEEN_LOOKS) {
            self.look().await?;
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        if !is_last {
            self.held = bytes.split_off(whole_characters(&bytes));
        }
        let chunk = Chunk { start: self.at, bytes: Bytes::from(bytes) };
        self.at = chunk.end();
        Ok(Some(chunk))
    }

    /// Looks whether the path still leads to the file that was opened.
    ///
    /// # Errors
    ///
    /// It does not, or the file was written to.
    pub(crate) async fn look(&self) -> Result<(), Skip> {
        let now = Identity::of(&tokio::fs::metadata(&self.path).await?);
        if now == self.opened { Ok(()) } else { Err(Skip::Changed) }
    }
}

/// Whether a file that begins so is no text: it has a NUL, or more than a tenth of what it says is no UTF-8.
fn is_binary(first: &[u8]) -> bool {
    // The last bytes may be half a character.
    let sample = &first[..first.len().min(8 * 1024)];
    let bad: usize = sample.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    sample.contains(&0) || bad.saturating_sub(3) * 10 > sample.len()
}

/// How many of these bytes are whole characters: all, or all but the three last at most.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=3.min(bytes.len()) {
        let at = bytes.len() - back;
        let needed = match bytes[at] {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => 1,
        };
        return if needed > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A folder that goes when the test does.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("restante-agents-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("there is room for a folder");
            Self(path)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("there is room");
            fs::write(&path, bytes).expect("there is room for a file");
            path
        }

        fn walk(&self) -> Walk {
            walk(&[Root { path: self.0.clone(), prefix: String::new() }]).expect("the folder is there")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    async fn read(path: &Path) -> Result<Vec<Chunk>, Skip> {
        let mut reader = Reader::open(path).await?;
        let mut chunks = Vec::new();
        while let Some(chunk) = reader.next().await? {
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    #[test]
    fn files_are_found_by_name_and_hidden_ones_and_targets_are_not() {
        let folder = Folder::new("walk");
        for name in
            ["b.txt", "a/z.txt", "a/b/c.txt", ".git/config", "target/debug/x.txt", "c/target", ".hidden"]
        {
            folder.file(name, b"text");
        }
        let names: Vec<String> = folder.walk().found.into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["a/b/c.txt", "a/z.txt", "b.txt", "c/target"]);
        let one = Root { path: folder.0.join("b.txt"), prefix: String::new() };
        assert_eq!(walk(&[one]).expect("it is there").found[0].name, "b.txt");
        let two = Root { path: folder.0.join("a"), prefix: "here".to_owned() };
        assert_eq!(walk(&[two]).expect("it is there").found[0].name, "here/b/c.txt");
        assert!(walk(&[Root { path: folder.0.join("none"), prefix: String::new() }]).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn loops_and_dead_links_and_sockets_are_reported_by_name() {
        let folder = Folder::new("links");
        folder.file("sub/file.txt", b"text");
        std::os::unix::fs::symlink("..", folder.0.join("sub/up")).expect("links are to be had");
        std::os::unix::fs::symlink("nowhere", folder.0.join("dead")).expect("links are to be had");
        let _socket =
            std::os::unix::net::UnixListener::bind(folder.0.join("socket")).expect("so are sockets");
        let walk = folder.walk();
        assert_eq!(walk.found.len(), 1);
        let skipped: Vec<(&str, &Skip)> = walk.skipped.iter().map(|s| (&*s.name, &s.why)).collect();
        let expected = [("dead", &Skip::Removed), ("socket", &Skip::NotAFile), ("sub/up", &Skip::LinkLoop)];
        assert_eq!(skipped, expected);
    }

    #[tokio::test]
    async fn what_is_no_text_is_told_from_what_is() {
        let folder = Folder::new("kinds");
        assert_eq!(read(&folder.file("empty", b"")).await, Err(Skip::Empty));
        assert_eq!(read(&folder.file("nul", b"text\0text")).await, Err(Skip::Binary));
        assert_eq!(read(&folder.file("noise", &[0xFE; 100])).await, Err(Skip::Binary));
        assert_eq!(read(&folder.0).await, Err(Skip::NotAFile));
        assert_eq!(read(&folder.0.join("none")).await, Err(Skip::Removed));
        assert!(
            read(&folder.file("latin", b"caf\xE9 is a word, and the rest of the text is long enough"))
                .await
                .is_ok()
        );
        assert!(read(&folder.file("short", "é".as_bytes())).await.is_ok());
    }

    #[tokio::test]
    async fn chunks_are_bounded_and_follow_each_other_and_cut_no_character() {
        let folder = Folder::new("chunks");
        let text = "aé語🦀".repeat(40_000);
        let chunks = read(&folder.file("long", text.as_bytes())).await.expect("it is text");
        let mut all = Vec::new();
        for chunk in &chunks {
            assert_eq!(chunk.start, all.len() as u64);
            assert!(
                chunk.bytes.len() <= CHUNK_MAX && chunk.bytes.len() > CHUNK_MAX - 4
                    || chunk == &chunks[chunks.len() - 1]
            );
            assert!(std::str::from_utf8(&chunk.bytes).is_ok());
            all.extend_from_slice(&chunk.bytes);
        }
        assert!(all == text.as_bytes());
        let exact = folder.file("exact", "x".repeat(2 * CHUNK_MAX).as_bytes());
        assert_eq!(read(&exact).await.expect("it is text").len(), 2);
    }

    /// However large the file is: one chunk is held, and between two chunks less than a character.
    #[tokio::test]
    async fn of_a_large_file_one_chunk_is_held() {
        let folder = Folder::new("held");
        let path = folder.file("large", "aé語🦀".repeat(400_000).as_bytes());
        let mut reader = Reader::open(&path).await.expect("it is there");
        let mut chunks = 0;
        while let Some(chunk) = reader.next().await.expect("it is text") {
            // A chunk that nobody else holds gives its buffer back: its room is all that it takes.
            let buffer = chunk.bytes.try_into_mut().expect("it is the only one");
            assert!(buffer.capacity() <= CHUNK_MAX, "{} bytes", buffer.capacity());
            assert!(reader.held.len() < 4 && reader.held.capacity() <= 8, "{:?}", reader.held);
            chunks += 1;
        }
        assert!(chunks > 50, "{chunks}");
    }

    #[tokio::test]
    async fn a_file_that_goes_or_grows_or_shrinks_while_it_is_read_is_reported() {
        let folder = Folder::new("moving");
        let text = "x".repeat(3 * CHUNK_MAX);
        for (name, change) in [
            ("goes", Skip::Removed),
            ("grows", Skip::Changed),
            ("shrinks", Skip::Changed),
            ("swaps", Skip::Changed),
        ] {
            let path = folder.file(name, text.as_bytes());
            let mut reader = Reader::open(&path).await.expect("it is there");
            assert!(reader.next().await.expect("it is text").is_some());
            match name {
                "goes" => fs::remove_file(&path).expect("it is there"),
                "grows" => fs::write(&path, text.repeat(2)).expect("there is room"),
                "shrinks" => fs::write(&path, "x").expect("there is room"),
                _ => fs::rename(folder.file("other", text.as_bytes()), &path).expect("both are there"),
            }
            let end = loop {
                match reader.next().await {
                    Ok(Some(_)) => {}
                    end => break end,
                }
            };
            assert_eq!(end, Err(change), "{name}");
        }
    }
}
