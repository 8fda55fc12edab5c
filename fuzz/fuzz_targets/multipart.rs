//! See [`predictd_fuzz::multipart`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| predictd_fuzz::multipart(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    predictd_fuzz::replay(predictd_fuzz::multipart, std::env::args_os().skip(1))
}
