// SPDX-License-Identifier: GPL-2.0

//! Output to the serial port of the machine.

use crate::arch::Uart;
use crate::once::Once;
use core::fmt::{self, Write};

static UART: Once<Uart> = Once::new();

/// Where output goes from now on; before, it is dropped.
pub fn init(uart: Uart) {
    UART.set(uart);
}

/// The serial port as a formatter's target.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(uart) = UART.get() {
            for byte in text.bytes() {
                if byte == b'\n' {
                    uart.put(b'\r');
                }
                uart.put(byte);
            }
        }
        Ok(())
    }
}

/// Prints formatted text. The serial port reports no errors.
macro_rules! print {
    ($($arg:tt)*) => {{
        use core::fmt::Write as _;
        let _ = write!($crate::console::Console, $($arg)*);
    }};
}
pub(crate) use print;
