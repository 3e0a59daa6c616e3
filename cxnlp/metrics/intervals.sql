-- Intervals, 90 % unless said otherwise: one formula, one place.
--
--   share_low, share_high (x, n)   Wilson (1927): stays within 0 and 1, honest for small n
--   mean_half (n, total, squares)  half the interval of a mean of scores within −1 and 1:
--       1.645 · √(s² / n) with s² = (Σx² − (Σx)² / n + 1) / n. The 1 is one unit of the largest
--       spread such scores can have, so that a single comment has a wide interval, not none.
--   gap_low, gap_high (a, b, n)    of (a − b) / n, where each of n is a, b or neither:
--       Bonett and Price (2012), an adjusted Wald interval: d = (a − b) / (n + 2), with one more
--       of each side, ± 1.645 · √((p + q − (p − q)²) / (n + 2)), p = (a + 1) / (n + 2)
CREATE OR REPLACE MACRO share_low(x, n) AS greatest(
    (x + 1.35277168 - 1.6448536 * sqrt(x * (n - x) / n + 0.67638584)) / (n + 2.70554336), 0
);

CREATE OR REPLACE MACRO share_high(x, n) AS least(
    (x + 1.35277168 + 1.6448536 * sqrt(x * (n - x) / n + 0.67638584)) / (n + 2.70554336), 1
);

CREATE OR REPLACE MACRO mean_half(n, total, squares) AS
    1.6448536 * sqrt((greatest(squares - total * total / n, 0) + 1) / n / n);

CREATE OR REPLACE MACRO gap_half(a, b, n) AS
    1.6448536 * sqrt(((a + b + 2) / (n + 2) - power((a - b) / (n + 2), 2)) / (n + 2));

CREATE OR REPLACE MACRO gap_low(a, b, n) AS greatest((a - b) / (n + 2) - gap_half(a, b, n), -1);

CREATE OR REPLACE MACRO gap_high(a, b, n) AS least((a - b) / (n + 2) + gap_half(a, b, n), 1);
