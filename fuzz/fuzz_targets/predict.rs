//! See [`predictd_fuzz::predict`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| predictd_fuzz::predict(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    predictd_fuzz::replay(predictd_fuzz::predict, std::env::args_os().skip(1))
}
