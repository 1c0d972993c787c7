

while (($line = fgets(STDIN)) !== false) {
    $parts = explode(' ', trim($line));
    [$secret, $now, $body] = $parts;
    $headers = [];
    foreach (array_slice($parts, 3) as $pair) {
        [$name, $value] = explode('=', $pair, 2);
        $headers[$name] = base64_decode($value);
    }
    echo verify($headers, base64_decode($body), base64_decode($secret), (int) $now) ? "true\n" : "false\n";
}
