//! Frames for the guest `kv`.

/// A conversation with the guest `kv`: what comes in, each frame at its nanosecond of guest time.
pub(super) fn conversation() -> Vec<(u64, Vec<u8>)> {
    let requests = ["SET a 1", "#7 GET a", "DEL a", "COUNT", "PING", "nonsense", "STOP"];
    let frames = requests.iter().enumerate();
    frames.map(|(number, text)| (10_000_000 + number as u64 * 300_003, datagram(text))).collect()
}

/// A UDP datagram from 10.0.2.2 to the address that the guest takes if nobody tells it another.
fn datagram(text: &str) -> Vec<u8> {
    let udp_bytes = (8 + text.len()) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend((20 + udp_bytes).to_be_bytes());
    // No fragments, time to live 64, UDP.
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15]);
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0];
    frame.extend(ip);
    frame.extend([5000u16, 7379, udp_bytes, 0].into_iter().flat_map(u16::to_be_bytes));
    frame.extend(text.as_bytes());
    frame
}
