

$stdin.each_line do |line|
  secret, now, body, *rest = line.split
  headers = rest.to_h do |pair|
    name, value = pair.split("=", 2)
    [name, value.unpack1("m").force_encoding("UTF-8")]
  end
  puts verify(headers, body.unpack1("m"), secret.unpack1("m"), Time.at(now.to_i))
end
