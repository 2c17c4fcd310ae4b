//! What a page says of itself: its checksum and its LSN.
//!
//! Source: `src/include/storage/checksum_impl.h` (the algorithm and its constants) and
//! `src/include/storage/bufpage.h` (`PageHeaderData`).

use howdah_base::Lsn;
use multiversion::multiversion;

/// Bytes of a page (BLCKSZ); servers of other sizes are refused before anything is read.
pub const PAGE: usize = 8192;

/// Sums that are made beside each other, so that the processor does several at once.
const SUMS: usize = 32;
const FNV_PRIME: u32 = 16_777_619;

#[rustfmt::skip]
const OFFSETS: [u32; SUMS] = [
    0x5B1F_36E9, 0xB852_5960, 0x02AB_50AA, 0x1DE6_6D2A, 0x79FF_467A, 0x9BB9_F8A3, 0x217E_7CD2, 0x83E1_3D2C,
    0xF8D4_474F, 0xE39E_B970, 0x42C6_AE16, 0x9932_16FA, 0x7B09_3B5D, 0x98DA_FF3C, 0xF718_902A, 0x0B1C_9CDB,
    0xE58F_764B, 0x1876_36BC, 0x5D7B_3BB1, 0xE73D_E7DE, 0x92BE_C979, 0xCCA6_C0B2, 0x304A_0979, 0x85AA_43D4,
    0x7831_25BB, 0x6CA8_EAA2, 0xE407_EAC6, 0x4B5C_FC3E, 0x9FBF_8C76, 0x15CA_20BE, 0xF2CA_9FD3, 0x959B_D756,
];

/// `pd_lsn`: the WAL up to here has to be there before the page is.
pub fn lsn(page: &[u8; PAGE]) -> Lsn {
    let half = |at: usize| {
        u64::from(u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]))
    };
    Lsn(half(0) << 32 | half(4))
}

/// A page that has been added to its file and not written yet: `pd_upper` is zero.
pub fn is_new(page: &[u8; PAGE]) -> bool {
    page[14] == 0 && page[15] == 0
}

/// Whether the page, number `block` of its relation fork, is what was written; only where the
/// server keeps checksums. A new page has none.
pub fn is_sound(page: &[u8; PAGE], block: u32) -> bool {
    if is_new(page) {
        return page.iter().all(|byte| *byte == 0);
    }
    checksum(page, block) == u16::from_le_bytes([page[8], page[9]])
}

/// `pg_checksum_page`: of a page with `pd_checksum` taken for zero.
pub fn checksum(page: &[u8; PAGE], block: u32) -> u16 {
    let folded = sums(page).into_iter().fold(0, |all, sum| all ^ sum) ^ block;
    // Never zero, which stands for none; below 65536 whatever the sum is.
    u16::try_from(folded % 65_535 + 1).unwrap_or(u16::MAX)
}

/// The plain x86-64 cannot multiply several numbers of 32 bits at once; every processor of the last ten
/// years multiplies eight.
#[multiversion(targets("x86_64+avx2"))]
fn sums(page: &[u8; PAGE]) -> [u32; SUMS] {
    let mut sums = OFFSETS;
    let (rows, _) = page.as_chunks::<{ SUMS * 4 }>();
    for (index, row) in rows.iter().enumerate() {
        let mut row = words(row);
        if index == 0 {
            // pd_checksum is the lower half of the third word.
            row[2] &= 0xFFFF_0000;
        }
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum = mixed(*sum, value);
        }
    }
    sums.map(|sum| mixed(mixed(sum, 0), 0))
}

#[inline(always)]
fn words(row: &[u8; SUMS * 4]) -> [u32; SUMS] {
    let (words, _) = row.as_chunks::<4>();
    let mut numbers = [0; SUMS];
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = u32::from_le_bytes(*word);
    }
    numbers
}

#[inline(always)]
fn mixed(sum: u32, value: u32) -> u32 {
    let together = sum ^ value;
    together.wrapping_mul(FNV_PRIME) ^ (together >> 17)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> [u8; PAGE] {
        let mut page = [0; PAGE];
        for (at, byte) in page.iter_mut().enumerate() {
            *byte = u8::try_from(at * 31 % 251).expect("less than 251");
        }
        page
    }

    #[test]
    fn a_bit_anywhere_and_another_place_are_noticed() {
        let mut page = page();
        let sum = checksum(&page, 7);
        page[8..10].copy_from_slice(&sum.to_le_bytes());
        assert!(is_sound(&page, 7));
        assert!(!is_sound(&page, 8), "a page of another place");
        for at in [0, 3, 16, 4_000, PAGE - 1] {
            page[at] ^= 1;
            assert!(!is_sound(&page, 7), "byte {at}");
            page[at] ^= 1;
        }
    }

    #[test]
    fn the_checksum_itself_does_not_count() {
        let mut other = page();
        other[8] ^= 0xFF;
        other[9] ^= 0xFF;
        assert_eq!(checksum(&page(), 0), checksum(&other, 0));
    }

    #[test]
    fn a_new_page_is_empty_or_torn() {
        let mut page = [0; PAGE];
        assert!(is_new(&page) && is_sound(&page, 3));
        page[8_000] = 1;
        assert!(!is_sound(&page, 3));
    }

    #[test]
    fn its_lsn_is_two_halves() {
        let mut page = page();
        page[..8].copy_from_slice(&[1, 0, 0, 0, 0x28, 0, 0, 0x10]);
        assert_eq!(lsn(&page).to_string(), "1/10000028");
    }
}
