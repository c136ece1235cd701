//! Text that stands in a page.

use std::fmt::{self, Display, Write};

/// Anything as text of a page or of an attribute. What a log or a history says may come from a stranger, so all of it
/// comes through here.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                // A page may not hold them, in whatever form.
                control if control.is_control() && control != '\n' => self.0.write_char('\u{fffd}')?,
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// What stands between groups of digits: a narrow space at which no line is broken.
pub(super) const SEPARATOR: char = '\u{202f}';

/// A whole number with its digits in groups of three.
pub(super) fn grouped(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "\u{2212}".to_owned() } else { String::new() };
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(SEPARATOR);
        }
        text.push(digit);
    }
    text
}

/// A number with one decimal, its whole part in groups of three.
pub(super) fn decimal(number: f64) -> String {
    let text = format!("{number:.1}");
    match text.split_once('.').map(|(whole, part)| (whole.parse::<i128>(), part)) {
        Some((Ok(whole), part)) if whole >= 1000 => format!("{}.{part}", grouped(whole)),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_told_becomes_part_of_the_page() {
        let told = Text("<script a='b' c=\"d\">&\u{1b}[2J\0").to_string();
        assert_eq!(told, "&lt;script a=&#39;b&#39; c=&quot;d&quot;&gt;&amp;\u{fffd}[2J\u{fffd}");
        assert_eq!(Text("größer 日本").to_string(), "größer 日本");
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        let told = [0, 999, 1000, -1_234_567].map(|number| grouped(number).replace(SEPARATOR, "_"));
        assert_eq!(told, ["0", "999", "1_000", "\u{2212}1_234_567"]);
        let told = [0.04, 999.96, 12_345.67].map(|number| decimal(number).replace(SEPARATOR, "_"));
        assert_eq!(told, ["0.0", "1_000.0", "12_345.7"]);
    }
}
