//! Files around the fuzzer's bytes.

/// The header of a log without devices.
const HEADER: &str = concat!(
    "engine = \"soft\"\ncounting = \"steps\"\nversion = \"0\"\nrecorded = 0\n",
    "[machine]\nmemory = 1\ncommand-line = \"\"\nwall-clock = 0\nrewritten-time-reads = false\n",
    "random-seed = \"0000000000000000000000000000000000000000000000000000000000000000\"\n",
    "[kernel]\npath = \"\"\nbytes = 0\n",
    "digest = \"0000000000000000000000000000000000000000000000000000000000000000\"\n",
);

/// The bytes, behind a good header.
pub(crate) fn behind_good_header(bytes: &[u8], closed: bool) -> Vec<u8> {
    let state = if closed { "closed" } else { "open  " };
    let (length, checksum) = (HEADER.len(), crc32c::crc32c(HEADER.as_bytes()));
    let lines = format!("outlive event log\nformat 00002\nstate {state}\n");
    let prefix = format!("{lines}header {length:08} bytes, crc32c {checksum:08x}\n{HEADER}");
    [prefix.as_bytes(), bytes].concat()
}

/// A section with good checksums.
pub(crate) fn section(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes), content);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// Sections: each takes a byte for its kind, two for its length, and its content from the bytes.
pub(crate) fn of_sections(bytes: &[u8], closed: bool) -> Vec<u8> {
    let mut file = behind_good_header(&[], closed);
    for (kind, content) in pieces(bytes) {
        file.extend(section(kind, content));
    }
    file
}

/// A closed log: batches that follow each other and whose entries are the bytes, an index, a footer that
/// tells where it is.
pub(crate) fn closed_with_bodies(bytes: &[u8]) -> Vec<u8> {
    let mut file = behind_good_header(&[], true);
    let (mut entries, mut batches) = (0u8, 0u64);
    let mut index = Vec::new();
    for (kind, content) in pieces(bytes) {
        let count = kind % 8 + 1;
        if content.is_empty() || batches == 20 {
            index = content.to_vec();
            break;
        }
        // Flags, entries, first entry, exit, time, distance of the last tick before that, of ticks, instructions.
        let plain = [&[0, count, entries, 0, 0, 0, 0, 0], content].concat();
        let compressed =
            if kind & 8 == 0 { None } else { with_compressed_entries(&plain, usize::from(kind >> 4)) };
        file.extend(section(b'B', &compressed.unwrap_or(plain)));
        entries += count;
        batches += 1;
    }
    let numbers = [file.len() as u64, u64::from(entries), batches];
    file.extend(section(b'I', if index.is_empty() { &[0] } else { &index }));
    file.extend(section(b'F', numbers.map(u64::to_le_bytes).as_flattened()));
    file
}

/// The content of a batch with its entries compressed, whatever they are, and so many of the last bytes taken for their
/// noise. `None` if it has a flag already, or has no entries.
pub(crate) fn with_compressed_entries(content: &[u8], noise: usize) -> Option<Vec<u8>> {
    let beginning = beginning_of(content)?;
    let (entries, noise) = content[beginning..].split_at((content.len() - beginning).saturating_sub(noise));
    let frame = zstd::bulk::compress(entries, 1).expect("a vector takes all bytes");
    Some([&[1], &content[1..beginning], &frame, noise].concat())
}

/// How long the beginning of a batch without flags is: seven of bincode's variable numbers.
fn beginning_of(content: &[u8]) -> Option<usize> {
    let mut end = 1;
    for _ in 0..7 {
        end += match content.get(end)? {
            251 => 3,
            252 => 5,
            253 => 9,
            _ => 1,
        };
    }
    (content[0] == 0 && end < content.len()).then_some(end)
}

/// Pieces of the bytes: a kind, a length of two bytes, and so much content or what is left.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[kind, low, high], rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (content, rest) = rest.split_at(length);
        bytes = rest;
        Some((kind, content))
    })
}
