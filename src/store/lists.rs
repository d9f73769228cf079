//! Pages of rows whose texts may be long.
//!
//! A page has up to 1,000 rows, and a row texts of up to 8 MB: whole, they would take more memory than there is. So the texts
//! of a page are cut by the database, the longer the page, the shorter; a small page has them whole.

use diesel::sql_types::{Integer, Nullable, Text};

use super::lenient::{AnyText, text};
use crate::domain::PageRequest;

/// Characters in all texts of a page, or nearly so.
const PAGE: u32 = 48 << 20;

/// Columns of long texts in a row.
const COLUMNS: u32 = 3;

diesel::define_sql_function! {
    /// The beginning of a text. All three databases have it.
    fn substr(text: Nullable<Text>, from: Integer, count: Integer) -> Nullable<Text>;
}

/// How long the texts of a page may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut(u32);

impl Cut {
    pub(super) fn of(page: PageRequest) -> Self {
        Self(PAGE / COLUMNS / page.page_size.max(1))
    }

    /// How many characters to ask for: one more shows that there are more.
    pub(super) fn asked(self) -> i32 {
        i32::try_from(self.0 + 1).unwrap_or(i32::MAX)
    }

    /// A text of which so many characters were asked for. One that is cut says so.
    pub(super) fn text(self, column: Option<AnyText>) -> Option<String> {
        let mut text = text(column)?;
        // Bytes are at least as many as characters.
        let most = usize::try_from(self.0).unwrap_or(usize::MAX);
        if text.len() > most
            && let Some((end, _)) = text.char_indices().nth(most)
        {
            text.truncate(end);
            text.push_str("… [cut: a smaller page, or the row alone, has it whole]");
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_characters_and_says_so() {
        let cut = Cut(3);
        let of = |text: &str| cut.text(Some(AnyText(text.to_owned()))).expect("is there");
        assert_eq!(
            (of("abc").as_str(), of("déj").as_str(), cut.text(None)),
            ("abc", "déj", None)
        );
        assert!(of("déjà").starts_with("déj… [cut"));
        assert_eq!(cut.asked(), 4);
    }

    #[test]
    fn a_page_of_one_row_has_the_longest_arguments_whole() {
        let chars = |size| usize::try_from(Cut::of(PageRequest::new(1, size)).0).expect("fits");
        assert!(chars(1) >= crate::domain::MAX_ARG_BYTES);
        assert!(chars(1_000) > 16_000 && 1_000 * 3 * chars(1_000) <= 64 << 20);
    }
}
