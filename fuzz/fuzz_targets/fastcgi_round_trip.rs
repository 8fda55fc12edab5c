//! See [`predictd_fuzz::fastcgi_round_trip`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| predictd_fuzz::fastcgi_round_trip(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    predictd_fuzz::replay(predictd_fuzz::fastcgi_round_trip, std::env::args_os().skip(1))
}
