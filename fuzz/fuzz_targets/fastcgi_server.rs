//! See [`predictd_fuzz::fastcgi_server`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| predictd_fuzz::fastcgi_server(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    predictd_fuzz::replay(predictd_fuzz::fastcgi_server, std::env::args_os().skip(1))
}
