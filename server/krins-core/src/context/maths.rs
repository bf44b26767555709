//! Logarithm and exponential from plain additions and multiplications: the same bits on every machine, which the
//! platform's own functions do not promise.

/// The natural logarithm of a positive normal number; 0 for anything else.
pub(super) fn ln(value: f64) -> f64 {
    if !value.is_normal() || value < 0.0 {
        return 0.0;
    }
    let bits = value.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), whose series ends soon for |m - 1| < 0.42.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = (0..10).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * ratio * series
}

/// `e` to the power of a number between -700 and 700; the nearest of the two for others.
pub(super) fn exp(power: f64) -> f64 {
    let power = if power.is_nan() { 0.0 } else { power.clamp(-700.0, 700.0) };
    let whole = (power / std::f64::consts::LN_2).round();
    let rest = power - whole * std::f64::consts::LN_2;
    let series = (1..14).rev().fold(1.0, |sum, n| 1.0 + rest / f64::from(n) * sum);
    series * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_agree_with_the_platform() {
        for step in 1..4_000 {
            let value = f64::from(step) * 0.37;
            assert!((ln(value) - value.ln()).abs() < 1e-12, "ln {value}");
            let power = value / 10.0 - 70.0;
            assert!((exp(power) / power.exp() - 1.0).abs() < 1e-12, "exp {power}");
        }
        assert_eq!((ln(0.0), ln(-1.0), ln(f64::NAN)), (0.0, 0.0, 0.0));
        assert!(exp(1e9).is_finite() && exp(-1e9) > 0.0);
    }
}
