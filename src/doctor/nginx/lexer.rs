//! The words of nginx's configuration language, as nginx itself cuts them: quotes, backslashes, comments, `${name}`.
//!
//! Every input ends: a token is at least a byte, and what cannot be a token is an error with its line.

/// A piece of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or an argument, without its quotes.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A quote that is not closed.
    #[error("the quote {0} is never closed")]
    OpenQuote(char),
    /// As in `"a"b`.
    #[error("after a closing quote there must be a space, ; or a brace, not '{0}'")]
    AfterQuote(char),
    /// A word is longer than nginx would read.
    #[error("a word is longer than 4096 bytes, which nginx would not read")]
    LongWord,
    /// A brace too many.
    #[error("unexpected }}")]
    UnexpectedClose,
    /// A directive without a name.
    #[error("unexpected {0}")]
    Unexpected(char),
    /// The file ends within a directive.
    #[error("the file ends, and '{0}' has no ; or block")]
    Unfinished(String),
    /// The file ends within a block.
    #[error("the block of '{0}' is never closed")]
    OpenBlock(String),
    /// Blocks within blocks.
    #[error("blocks are nested deeper than {0}")]
    TooDeep(usize),
}

/// nginx's own bound: its buffer is one page.
const WORD_MAX: usize = 4096;

/// Cuts a text, counting lines.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: std::str::Chars<'a>,
    line: u32,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.chars(), line: 1 }
    }

    /// The line of what was read last.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += u32::from(next == Some('\n'));
        next
    }

    /// The next token, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some(space) if space.is_ascii_whitespace() => _ = self.bump(),
                Some('#') => while self.bump().is_some_and(|character| character != '\n') {},
                Some(';') => return self.single(Token::End),
                Some('{') => return self.single(Token::Open),
                Some('}') => return self.single(Token::Close),
                Some(quote @ ('"' | '\'')) => return self.quoted(quote).map(Some),
                Some(_) => return self.bare().map(Some),
            }
        }
    }

    fn single(&mut self, token: Token) -> Result<Option<Token>, SyntaxError> {
        self.bump();
        Ok(Some(token))
    }

    fn quoted(&mut self, quote: char) -> Result<Token, SyntaxError> {
        self.bump();
        let mut word = String::new();
        loop {
            match self.bump() {
                None => return Err(SyntaxError::OpenQuote(quote)),
                Some('\\') => self.escaped(&mut word),
                Some(end) if end == quote => break,
                Some(other) => word.push(other),
            }
            if word.len() > WORD_MAX {
                return Err(SyntaxError::LongWord);
            }
        }
        match self.peek() {
            None => {}
            Some(after) if after.is_ascii_whitespace() || ";{})".contains(after) => {}
            Some(after) => return Err(SyntaxError::AfterQuote(after)),
        }
        Ok(Token::Word(word))
    }

    fn bare(&mut self) -> Result<Token, SyntaxError> {
        let mut word = String::new();
        let mut in_variable = false;
        while let Some(next) = self.peek() {
            match next {
                '{' if word.ends_with('$') => in_variable = true,
                '}' if in_variable => in_variable = false,
                ';' | '{' => break,
                space if space.is_ascii_whitespace() => break,
                _ => {}
            }
            self.bump();
            if next == '\\' {
                self.escaped(&mut word);
            } else {
                word.push(next);
            }
            if word.len() > WORD_MAX {
                return Err(SyntaxError::LongWord);
            }
        }
        Ok(Token::Word(word))
    }

    /// What follows a backslash: nginx takes it away before few characters, and leaves it before all others.
    fn escaped(&mut self, word: &mut String) {
        match self.bump() {
            Some(kept @ ('"' | '\'' | '\\')) => word.push(kept),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(other) => word.extend(['\\', other]),
            None => word.push('\\'),
        }
    }

    /// Reads over a block of Lua up to the brace that closes it: no configuration.
    pub(super) fn skip_code(&mut self, name: &str) -> Result<(), SyntaxError> {
        let mut depth = 1;
        while let Some(next) = self.bump() {
            match next {
                '{' => depth += 1,
                '}' if depth == 1 => return Ok(()),
                '}' => depth -= 1,
                _ => {}
            }
        }
        Err(SyntaxError::OpenBlock(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<String, SyntaxError> {
        let mut lexer = Lexer::new(text);
        let mut out = Vec::new();
        while let Some(token) = lexer.next()? {
            out.push(match token {
                Token::Word(word) => format!("<{word}>"),
                Token::End => ";".into(),
                Token::Open => "{".into(),
                Token::Close => "}".into(),
            });
        }
        Ok(out.join(" "))
    }

    #[test]
    fn words_are_cut_as_nginx_cuts_them() {
        for (text, expected) in [
            ("listen 80;", "<listen> <80> ;"),
            ("a{b c;}", "<a> { <b> <c> ; }"),
            ("return 413 '{\"error\":\"x; y\"}';", "<return> <413> <{\"error\":\"x; y\"}> ;"),
            (r#"a "b \"c\" \d";"#, r#"<a> <b "c" \d> ;"#),
            ("a # b;\n c;", "<a> <c> ;"),
            ("a b#c;", "<a> <b#c> ;"),
            ("if ($x !~ \"^[A-Z]{1,8}$\") { }", "<if> <($x> <!~> <^[A-Z]{1,8}$> <)> { }"),
            ("set $a ${b}c;", "<set> <$a> <${b}c> ;"),
            ("location ~ \\.php$ { }", "<location> <~> <\\.php$> { }"),
            ("", ""),
            ("a ''  ;", "<a> <> ;"),
        ] {
            assert_eq!(tokens(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_nginx_would_not_read_is_an_error() {
        assert_eq!(tokens("a 'b"), Err(SyntaxError::OpenQuote('\'')));
        assert_eq!(tokens("a \"b\"c;"), Err(SyntaxError::AfterQuote('c')));
        assert_eq!(tokens(&"x".repeat(5000)), Err(SyntaxError::LongWord));
    }

    #[test]
    fn lines_are_counted_through_quotes_and_comments() {
        let mut lexer = Lexer::new("a 'b\nc' # d\n e");
        let mut lines = Vec::new();
        while lexer.next().unwrap().is_some() {
            lines.push(lexer.line());
        }
        assert_eq!(lines, [1, 2, 3]);
    }
}
