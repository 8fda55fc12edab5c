//! See [`predictd_fuzz::fastcgi_split`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| predictd_fuzz::fastcgi_split(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    predictd_fuzz::replay(predictd_fuzz::fastcgi_split, std::env::args_os().skip(1))
}
