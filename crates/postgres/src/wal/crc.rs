//! CRC-32C, as PostgreSQL guards its WAL records with (src/port/pg_crc32c_sb8.c): the Castagnoli
//! polynomial, eight bytes a step. A dependency for thirty lines would cost more than it spares.

/// The CRC of `parts`, one after the other.
pub(crate) fn crc32c(parts: [&[u8]; 2]) -> u32 {
    !parts.iter().fold(!0, |crc, part| update(crc, part))
}

fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word) ^ u64::from(crc);
        crc = word
            .to_le_bytes()
            .iter()
            .zip(TABLES.iter().rev())
            .fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
    }
    rest.iter()
        .fold(crc, |crc, byte| (crc >> 8) ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xFF) as usize])
}

/// Reversed, as everything in this CRC is.
const POLYNOMIAL: u32 = 0x82F6_3B78;

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "a byte; try_from is not const")]
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_the_standard() {
        // RFC 3720, B.4, and the customary check value.
        assert_eq!(crc32c([b"123456789", b""]), 0xE306_9283);
        assert_eq!(crc32c([b"12", b"3456789"]), 0xE306_9283);
        assert_eq!(crc32c([&[0; 32], b""]), 0x8A91_36AA);
        assert_eq!(crc32c([&[0xFF; 32], b""]), 0x62A8_AB43);
    }
}
