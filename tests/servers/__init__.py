"""Protocol-faithful test servers: real programs on real sockets, each in a process of its own.

In a test (the fixture comes from `tests.servers.fixtures`; it stops everything at the end):

    def test_x(servers: ServerFactory) -> None:
        lm = servers("lm_studio", "--jit", "off", models=[{"id": "a", "loaded": False}])
        hung = servers.many(*[("impostor", ["--mode", "hang_accept"])] * 10)   # ten ports, one process
        lm.url, lm.port, lm.pid                 # url is a root: no /v1, no slash at the end
        lm.set_fault("error_500", count=1)      # then healthy again; "none" clears; set_faults({...}, {...})
        lm.set_models(["b"])                    # other models from now on
        lm.requests("/v1/chat/completions")     # each: method, path, headers (lower case), body (JSON), time
        lm.wait_for("disconnect")["after_s"]    # the client left early; also tokens_sent, status, path
        lm.log()                                # also "connection", "response", "malformed"
        lm.kill()                               # as a crash; the log stays readable
    servers("ollama", port=11500, host="127.0.0.1,::1")   # both addresses, one port
    with start("llama_cpp") as server: ...                # without the fixture: tests.servers.launch.start

By hand: `python -m tests.servers.lm_studio --port 1234 --stay` (without --stay it ends with its stdin).

Servers             own options (chat under /v1 unless said otherwise)
lm_studio           --jit on|off  --load-seconds S  --version 0.3.4 (no native API)  --greeting-needs-key
                    --downloads complete|pause|fail
                    --old-errors  --download-seconds S.  `ttl` of a request is obeyed, /models/load makes `:2`
ollama              --load-seconds S (also when num_ctx changes)  --pull-error TEXT  --pull-delay S
                    --no-tag-capabilities.  keep_alive is obeyed; /api/ps tells the last request's context
llama_cpp           --router [--no-autoload] [--fails-to-load MODEL]  --sleeping  --load-seconds S  --metrics
                    --no-ui  --embeddings  --prompt-seconds S (read in ten steps with `return_progress`)
                    --no-echo (a continued answer is not repeated, as in other builds)
                    --no-replay  --replay-bytes N (how much of a stream is kept)
openrouter          /api/v1; key is sk-or-v1-test or --auth  --key-info JSON  --code-lifetime S
                    --issued-key KEY  --string-error-code;  GET /auth?callback_url=&code_challenge= consents
                    --sign-in allow|deny|wait
openai_compatible   --flavor generic|vllm|sglang|llama_swap|mlx
anthropic, gemini [--list-errors]  (/v1/messages and /v1beta)
jan, gpt4all [--disabled], koboldcpp, textgen [--admin-key KEY], localai [--old], lemonade (/api/v1 too),
docker_model_runner (/engines/v1)
impostor            --mode spa_html_200|airplay_403|express_200|redirect_loop|redirect_to_elsewhere|json_list|
                    empty_401|ollama_imitator|huge_200mb|trickle|trickle_headers|hang_headers|hang_request|
                    hang_accept|non_http|garbage|closes_at_once|resets_at_once|syn_backlog (handshakes are
                    dropped; Linux, macOS)   --elsewhere URL

Common options (impostor: the first line only)
  --port N  --host A[,B]  --log FILE  --delay-listen S (connections are refused so long)  --stay
  --models JSON   ids or objects: id, loaded (true), context_length (4096), max_context_length (131072),
                  size_bytes, capabilities (["completion","tools"]; also vision, thinking), embedding,
                  remote_host, remote_model (Ollama cloud), device (LM Link), quantization, parameter_size,
                  family, prompt_price and completion_price (openrouter, USD a token, text);  [] = no models
  --auth KEY  --version V  --keep-alive S (close connections that lie idle so long)
  --answer TEXT (default: see below)  --tokens N (answer "word0 word1 ...")  --reasoning TEXT (thinks first)
  --reasoning-field NAME (lm_studio, ollama, openai_compatible)  --token-delay S  --first-token-delay S
  --tool-call NAME:JSON (repeatable)  --tool-text (says the answer too)  --tool-style fragments|whole
  --cached-tokens N  --dimensions N (of an embedding, 8)
  --no-tools  --no-vision  --no-schema  --no-prefill (refused in the server's words)
  --fault MODE[:ARG][@chat|@all|@/path][*COUNT][~PERCENT]   may be repeated; the first that fits is taken

What is answered, the first that fits: the calls of --tool-call whose tools the request offers and that have
no result since the person spoke; --tokens; "NAME said: RESULT" for tool results; --answer; for a JSON schema
the smallest value; "You showed 2 images: image/png, image/jpeg."; "You said: " and the last user message.
An answer has one token a word, a call one for every eight characters of arguments. A prompt counts its words
plus four a message; longer than context_length, it is refused in the server's words (Ollama: cut silently).
`max_tokens` and its kin end an answer with "length". llama_cpp and ollama continue a last message of the
assistant that begins the answer; llama_cpp repeats it first, as the real one does.

Fault modes (without @: those marked * concern all requests, the others answers only, embeddings too)
  in the server's own words: busy_503[:RETRY_AFTER]  error_500  rate_429[:RETRY_AFTER]  quota_429
      unauthorized_401  payment_402  forbidden_403_moderation  not_found_404_model  context_400
      bad_request_400  crashed  out_of_memory  tools_refused  vision_refused  schema_refused  prefill_refused
      RETRY_AFTER is the header's value as it stands, or NAME=VALUE|NAME=VALUE for other headers
      (openrouter: rate_429:40:availability is the form without a code, busy_503 too)
      busy_for:S[:RETRY_AFTER]* (503 for S seconds since it was set)   gzip:KIND (a refusal, packed)
  connections: refuse[:S] (broken and refused, for S seconds or for good)   flapping:UP:DOWN (seconds)
      slow_accept:S*   hang*   reset_before_headers   close_before_headers
      close_after:MS* (answers, then closes MS milliseconds later whatever comes; for keep-alive races)
  loading:S* (503 in the server's form, or the answer waits, for S seconds since it was set)   hang_headers
  html_200  empty_200  json_error_200  redirect[:URL]  login_302  garbage  comments_only[:PERIOD_S]
  after N tokens: die_mid_stream:N (RST)  cut_mid_stream:N (FIN, chunked body unfinished)  eof_mid_stream:N
      (clean end, no finish_reason)  error_mid_stream:N (in-band, own form; 0: after the role; openrouter:
      N:CODE)  stall_mid_stream:N  malformed:N[:COUNT] (so many broken events, then it goes on)
  error_first (in-band, before all else)  stall_reading:N (silent after N progress events)
  no_done[:close] (finished, then silent and open, or closed)  no_finish ([DONE] without a finish_reason)
  flood:BYTES (the tokens again and again, as fast as they are taken)
  another answer: empty_answer  content_filter:N (cut after N tokens)  refusal  other_model:NAME
      huge_event[:MIB] (a first token of 9 MiB)
  the same answer in other bytes: crlf  cr  no_space  multi_line  with_comments  bom  gzip  byte_by_byte
      split_utf8 (the ones about lines are for SSE)
  For answers that are not streamed the faults after N tokens mean half a body, or the own form of a late
  error. A stream that llama_cpp keeps (`X-Conversation-Id`) breaks for its client only, but for
  error_mid_stream; the log says "generated" (conversation, tokens, cancelled) when it really ended.
Over HTTP: POST /__test__/fault {"mode", "arg", "count", "on", "percent"} or a list, GET /__test__/log,
POST /__test__/models.
"""
