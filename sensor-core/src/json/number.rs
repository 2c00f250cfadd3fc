//! Numbers: where they end, and what they are as an integer.

use super::ParseError;

/// End of the number that begins at `pos` with a minus or a digit.
///
/// A number that the end of the text cuts short in a place where it could end (`12`) ends there.
pub(super) fn end(text: &[u8], mut pos: usize) -> Result<usize, ParseError> {
    if text.get(pos) == Some(&b'-') {
        pos += 1;
    }
    match text.get(pos) {
        None => return Err(ParseError::Incomplete),
        Some(b'0') => pos += 1,
        Some(b'1'..=b'9') => pos = digits(text, pos + 1),
        Some(_) => return Err(ParseError::Invalid { at: pos }),
    }
    if text.get(pos) == Some(&b'.') {
        pos = some_digits(text, pos + 1)?;
    }
    if matches!(text.get(pos), Some(b'e' | b'E')) {
        pos += 1;
        if matches!(text.get(pos), Some(b'+' | b'-')) {
            pos += 1;
        }
        pos = some_digits(text, pos)?;
    }
    Ok(pos)
}

fn digits(text: &[u8], mut pos: usize) -> usize {
    while matches!(text.get(pos), Some(b'0'..=b'9')) {
        pos += 1;
    }
    pos
}

fn some_digits(text: &[u8], pos: usize) -> Result<usize, ParseError> {
    match text.get(pos) {
        None => Err(ParseError::Incomplete),
        Some(b'0'..=b'9') => Ok(digits(text, pos + 1)),
        Some(_) => Err(ParseError::Invalid { at: pos }),
    }
}

/// True where a double cannot hold the number. Strict parsers refuse it, lax ones take it for infinity.
pub(super) fn overflows(number: &[u8]) -> bool {
    let may = number.len() > 308 || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    may && std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok()).is_none_or(f64::is_infinite)
}

/// The number as an integer where it is one: `7`, `7.0` and `70e-1` all are 7.
///
/// Exact, not by way of a double: ids beyond 2⁵³ stay apart.
pub(super) fn as_i64(number: &[u8]) -> Option<i64> {
    let (negative, number) = match number.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, number),
    };
    let (mantissa, exponent) = match number.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (number.get(..at)?, saturating_exponent(number.get(at + 1..)?)),
        None => (number, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(at) => (mantissa.get(..at)?, mantissa.get(at + 1..)?),
        None => (mantissa, &[][..]),
    };
    let digits = || whole.iter().chain(fraction).map(|byte| byte.wrapping_sub(b'0'));
    // Digits that count: without the zeros at either end.
    let leading = digits().take_while(|&digit| digit == 0).count();
    let all = whole.len() + fraction.len();
    if leading == all {
        return Some(0);
    }
    let trailing = digits().rev().take_while(|&digit| digit == 0).count();
    let scale = exponent.saturating_sub(length(fraction.len())).saturating_add(length(trailing));
    let significant = all - leading - trailing;
    if scale < 0 || length(significant).saturating_add(scale) > 19 {
        return None;
    }
    let mut value: i64 = 0;
    let zeros = std::iter::repeat_n(0, usize::try_from(scale).ok()?);
    for digit in digits().skip(leading).take(significant).chain(zeros) {
        // Downwards, because i64 reaches one further there.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn saturating_exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let value = digits.iter().fold(0_i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte.wrapping_sub(b'0'))));
    if negative { value.saturating_neg() } else { value }
}
