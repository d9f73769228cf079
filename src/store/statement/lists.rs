//! Pages of rows whose texts may be long.
//!
//! A page has up to 1,000 rows, and a row texts of up to 8 MB: whole, they would take more memory than there is. So the texts
//! of a page are cut by the database, the longer the page, the shorter; a small page has them whole.

use diesel::sql_types::{Integer, Nullable, Text};

use crate::{domain::PageRequest, store::lenient::AnyText};

/// Bytes of all texts of a page.
const PAGE: u32 = 48 << 20;

/// Columns of long texts in a row.
const COLUMNS: u32 = 3;

/// What UTF-8 takes for a character at most.
const BYTES_OF_A_CHARACTER: u32 = 4;

/// The end of a text that is cut.
pub(in crate::store) const CUT: &str = "… [cut: a smaller page, or the row alone, has it whole]";

diesel::define_sql_function! {
    /// The beginning of a text. All three databases have it.
    fn substr(text: Nullable<Text>, from: Integer, count: Integer) -> Nullable<Text>;
}

diesel::define_sql_function! {
    /// How long a text is. All three databases have it.
    fn octet_length(text: Nullable<Text>) -> Nullable<BigInt>;
}

/// How long the texts of a page may be.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Cut(u32);

impl Cut {
    pub(in crate::store) fn of(page: PageRequest) -> Self {
        Self(PAGE / COLUMNS / page.page_size.max(1))
    }

    /// A text of no more bytes is shown whole.
    pub(in crate::store) fn whole(self) -> i64 {
        self.0.into()
    }

    /// How many characters are shown of a longer one. They have no more bytes than a whole one, whatever the characters: databases
    /// cut by characters.
    pub(in crate::store) fn head(self) -> i32 {
        i32::try_from(self.0 / BYTES_OF_A_CHARACTER).unwrap_or(i32::MAX)
    }
}

/// A column of long texts, as a page of rows shows it.
macro_rules! shown {
    ($column:expr, $cut:expr) => {
        diesel::dsl::case_when(
            $crate::store::statement::lists::octet_length($column).le($cut.whole()),
            $column,
        )
        .otherwise(
            $crate::store::statement::lists::substr($column, 1, $cut.head())
                .concat($crate::store::statement::lists::CUT),
        )
    };
}
pub(in crate::store) use shown;

/// Whether a text of a page is not whole.
pub(in crate::store) fn is_cut(text: &AnyText) -> bool {
    text.0.ends_with(CUT)
}

/// A LIKE pattern for "contains this text", in which `%`, `_` and `\` stand for themselves.
pub(in crate::store) fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for char in text.chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_one_row_has_the_longest_arguments_whole() {
        let cut = Cut::of(PageRequest::new(1, 1));
        assert!(usize::try_from(cut.whole()).is_ok_and(|bytes| bytes >= crate::domain::MAX_ARG_BYTES));
    }

    #[test]
    fn a_page_has_so_many_bytes_at_most() {
        for size in [1, 20, 1_000, 1_000_000] {
            let cut = Cut::of(PageRequest::new(1, size));
            let texts = i64::from(size) * i64::from(COLUMNS);
            assert!(texts * cut.whole() <= i64::from(PAGE));
            assert!(i64::from(cut.head()) * i64::from(BYTES_OF_A_CHARACTER) <= cut.whole());
        }
    }

    #[test]
    fn a_text_that_is_cut_says_so() {
        let text = |text: &str| AnyText(text.to_owned());
        assert!(is_cut(&text(&format!("[1,2{CUT}"))));
        assert!(!is_cut(&text("[1,2]")));
    }

    #[test]
    fn wildcards_in_a_searched_text_stand_for_themselves() {
        assert_eq!(containing(r"50%_off\"), r"%50\%\_off\\%");
    }
}
