"""The lines of llama.cpp's log that prove a cause, and what they mean in words for a person. Plain values.

Asked in order, each about all lines that can tell (see `log_lines`): the most precise come first, because
one failure leaves several lines. The texts are those of llama.cpp's sources; the tests' samples say which of
them have been seen printed, and which could only be read there.

Every repetition has a most: a line may hold whatever a model file wants, and is searched while people wait.
"""

import re
from dataclasses import dataclass

from whisper_desktop.language import mark


@dataclass(frozen=True, slots=True)
class Rule:
    """A cause, the line that proves it, and its three sentences; `{0}`, `{1}` are the pattern's groups.

    `{model}` is the model's file name, `{context}` its context in words, `{program}` who serves it.
    `besides` is what another line must say as well. `option` is the number of the group that names one of
    the person's own options, or a value of one.
    """

    cause: str
    pattern: re.Pattern[str]
    title: str
    detail: str
    next_step: str
    sizes: bool = False  # the groups are sizes as llama.cpp prints them
    besides: re.Pattern[str] | None = None
    option: int | None = None


def _rule(
    cause: str,
    pattern: str,
    title: str,
    detail: str,
    next_step: str,
    *,
    sizes: bool = False,
    besides: str | None = None,
    option: int | None = None,
) -> Rule:
    other = re.compile(besides) if besides else None
    return Rule(cause, re.compile(pattern), title, detail, next_step, sizes, other, option)


_GET_ANOTHER = mark("Download the file again, or choose another model.")
_NEWER = mark("Use a newer engine, or choose another model.")
_LESS = mark("Close something, use a shorter context, or choose a smaller model.")
_WRONG_PATH = mark(
    "Correct llm.llamacpp.server_path in the settings, or remove it to use the built-in engine."
)

_OPTIONS = (
    _rule(
        "gpu_unusable",
        r"failed to initialize (?:CUDA|ROCm|MUSA): (.{1,300})",
        mark("The graphics card cannot be used."),
        mark("Its driver says: {0}."),
        mark("Update the graphics driver and restart the computer, or use the processor only."),
        besides=r"invalid device: |no usable GPU",
    ),
    _rule(
        "bad_flag",
        r"error: invalid argument: (\S{1,300})",
        mark("{program} does not know the option {0}."),
        mark("It is not among the options that this version offers."),
        mark("Remove it from llm.llamacpp.extra_args."),
        option=0,
    ),
    _rule(
        "bad_flag",
        r'error while handling (?:argument|environment variable) "([^"]{1,100})": (.{1,300})',
        mark("{program} cannot use the value given for {0}."),
        mark("It says: {1}."),
        mark("Correct it in llm.llamacpp.extra_args."),
        option=0,
    ),
    _rule(
        "extra_file",
        r"failed to load (?:multimodal model|draft model|lora adapter),? '(.{1,500}?)'",
        mark("A further file that belongs to the model cannot be loaded: {0}."),
        mark("It is named in llm.llamacpp.extra_args; it was moved, or does not fit the model."),
        mark("Correct that option, or remove it."),
        option=0,
    ),
)

_PROGRAM = (
    _rule(
        "binary_missing",
        r"whisper: cannot run '(.{1,500})': No such file or directory",
        mark("The llama-server program is not there: {0}."),
        mark("It, or what it needs to start, was moved or removed."),
        _WRONG_PATH,
    ),
    _rule(
        "binary_not_executable",
        r"whisper: cannot run '(.{1,500})': (.{1,300})",
        mark("{0} cannot be run."),
        mark("The system says: {1}."),
        mark("Set llm.llamacpp.server_path to a llama-server for this computer, or remove it."),
    ),
    _rule(
        "builtin_missing",
        r"whisper: the built-in engine cannot be loaded: (No module named .{1,100})",
        mark("The built-in engine is not installed."),
        mark("This installation has no xllamacpp ({0})."),
        mark("Install Whisper Desktop again, or set llm.llamacpp.server_path to a llama-server program."),
    ),
    _rule(
        "port_taken",
        r"couldn't bind HTTP server socket, hostname: \S{1,100}, port: (\d{1,5})",
        mark("Port {0} is taken by another program, so the engine cannot listen there."),
        "",
        mark("End that program, or let the engine choose a port of its own."),
    ),
    _rule(
        "computer_lost",
        r"ggml-rpc\.cpp:\d{1,6}: (?:Failed to connect to|RPC handshake failed for) (\S{1,100})",
        mark("The other computer that helps with this model does not answer: {0}."),
        mark("Its rpc-server is not running, of another version, or cannot be reached."),
        mark("Start it there, or let this computer carry the whole model."),
    ),
    _rule(
        "computer_lost",
        r"Remote RPC server crashed or returned malformed response|RPC server version mismatch",
        mark("Another computer that helps with this model stopped working for it."),
        mark("Its rpc-server ended, or is of another version."),
        mark("Start it there again, or let this computer carry the whole model."),
    ),
    _rule(
        "killed",
        r"Received second interrupt, terminating immediately",
        mark("{program} was told to stop by another program."),
        "",
        mark("Send the message again; the engine starts by itself."),
    ),
)

_MODEL = (
    _rule(
        "model_missing",
        r"failed to open GGUF file '(.{1,700})' \(No such file or directory\)",
        mark("The model file is not there: {0}."),
        mark("It was moved, renamed or removed."),
        mark("Choose the file again in Setup, or download the model."),
    ),
    _rule(
        "model_unreadable",
        r"failed to open GGUF file '(.{1,700})' \(([^()]{1,100})\)",
        mark("The model file cannot be opened: {0}."),
        mark("The system says: {1}."),
        mark("Allow this account to read the file, or choose another one."),
    ),
    _rule(
        "model_unreadable",
        r"error loading model: read error: (.{1,300})|gguf\w{0,40}: read error: (.{1,300})",
        mark("The model file {model} cannot be read to its end."),
        mark("The system says: {0}."),
        mark("Check the disk that it lies on, or download the file again."),
    ),
    _rule(
        "not_a_model",
        r"invalid magic characters: '.{0,20}', expected 'GGUF'",
        mark("{model} is not a model file."),
        mark("A GGUF file starts with the letters GGUF; this one starts with something else."),
        mark("Choose a .gguf file, or download the model again."),
    ),
    _rule(
        "not_a_model",
        r"model must be loaded with the first split",
        mark("{model} is a later part of a model that comes in several files."),
        mark("The engine begins with the first one and finds the others beside it."),
        mark("Choose the file whose name has 00001 in it."),
    ),
    _rule(
        "not_a_model",
        "CLIP cannot be used as main model",
        mark("{model} is only the part of a model that sees pictures."),
        mark("It belongs beside the model itself."),
        mark("Choose the larger file; this one goes into llm.llamacpp.extra_args, after --mmproj."),
    ),
    _rule(
        "model_corrupt",
        "failed to read magic",
        mark("The model file {model} is empty or cut off."),
        mark("Not even its first letters are there; a download was probably interrupted."),
        _GET_ANOTHER,
    ),
    _rule(
        "unsupported_model",
        r"this GGUF file is version (\d{1,10}) but this software only supports up to version (\d{1,10})",
        mark("The model file {model} is newer than {program} can read."),
        mark("It has version {0} of the format; this engine knows versions up to {1}."),
        _NEWER,
    ),
    _rule(
        "unsupported_model",
        r"GGUFv1 is no longer supported|mismatch between the host and model endianness",
        mark("The model file {model} is in a form that no engine here reads."),
        mark("It is of the very first version of the format, or made for another kind of computer."),
        mark("Download a current version of the model, or choose another one."),
    ),
    _rule(
        "unsupported_model",
        r"tensor '.{0,300}' has invalid ggml type (\d{1,10})",
        mark("{program} does not know how the weights in {model} are stored."),
        mark("They are of type {0}: the model is newer than the engine, or the file is damaged."),
        mark("Use a newer engine, or download the file again."),
    ),
    _rule(
        "model_corrupt",
        r"gguf_init_from_(?:reader|file\w{0,20}|ptr): (.{1,300})",
        mark("The model file {model} is damaged or cut off."),
        mark("Its header cannot be read ({0})."),
        _GET_ANOTHER,
    ),
    _rule(
        "model_corrupt",
        r"tensor '(.{1,300})' data is not within the file bounds",
        mark("The model file {model} is incomplete."),
        mark("A part of it ({0}) lies beyond the end of the file; a download was probably interrupted."),
        _GET_ANOTHER,
    ),
    _rule(
        "model_corrupt",
        r"unexpectedly reached end of file|tensors with invalid data|tensor '.{1,300}' has invalid data"
        r"|corrupted model: \d{1,10} tensors expected",
        mark("The model file {model} is damaged or cut off."),
        mark("Its weights cannot be used as they are."),
        _GET_ANOTHER,
    ),
    _rule(
        "unsupported_model",
        r"(?:unknown|unsupported) (?:model architecture|pre-tokenizer type|tokenizer): '(.{0,100})'",
        mark("{program} does not know this kind of model ({0})."),
        mark("The model is newer than the engine, or of a kind that llama.cpp does not run."),
        _NEWER,
    ),
    _rule(
        "unsupported_model",
        r"error loading model: (?:error loading model \w{1,40}: )?((?:\w{1,60}: )?"
        r"(?:tensor '.{1,300}' (?:not found|has wrong)|missing tensor|wrong number of tensors|key not found"
        r"|array key not found).{0,300})",
        mark("{program} cannot use the model {model}."),
        mark(
            "The file is not what the engine expects ({0}): it is newer or older than the engine, or damaged."
        ),
        mark("Use a newer engine, or download the file again."),
    ),
    _rule(
        "chat_template",
        r"chat_templates_init: error: (.{1,300})|chat template parsing error: (.{1,300})",
        mark("{program} cannot read how {model} wants its conversations written."),
        mark("The chat template inside the file has a mistake, or is newer than the engine ({0})."),
        mark("Use a newer engine, or download a corrected version of the model."),
    ),
    _rule(
        "cache_type",
        r"([KV]) cache type (\w{1,20}) with block size \d{1,6} does not divide|"
        r"quantized V cache (?:was requested|requires)",
        mark("The smaller form of the conversation's memory does not fit this model."),
        mark("Its attention heads have a size that the form cannot divide, or flash attention is off."),
        mark("Use the full form."),
    ),
)

_GPU_BUFFER = r"(?:CUDA|ROCm|Vulkan|SYCL|MUSA|CANN|OpenCL)\d{1,3}|MTL\d{1,3}|Metal"

_GPU = (
    _rule(
        "gpu_out_of_memory",
        r"(?:cudaMalloc|hipMalloc) failed: out of memory|(?:CUDA|ROCm|MUSA) error: out of memory"
        r"|CUBLAS_STATUS_ALLOC_FAILED|(?i:out_?of_?device_?memory|kIOGPU\w{0,60}OutOfMemory)"
        r"|Metal buffer of \d{1,20} bytes \(out of memory\)"
        r"|ggml_metal\w{0,60}: error: failed to allocate buffer"
        rf"|(?:failed|unable) to allocate (?:{_GPU_BUFFER})\w{{0,40}} buffer",
        mark("The graphics card has not enough free memory for this model."),
        mark("With {context}, it needs more than is free there."),
        mark("Close programs that use the graphics card, use a shorter context, or put fewer layers on it."),
    ),
    _rule(
        "gpu_unusable",
        r"(?:CUDA|ROCm|MUSA) error: (.{0,100}(?:driver version is insufficient|unsupported toolchain"
        r"|no kernel image|kernel image is invalid|no (?:CUDA|ROCm)-capable device|forward compatibility"
        r"|not yet initialized|unsupported display driver|ARCH_MISMATCH|invalid device function).{0,200})"
        r"|rocBLAS error: (.{1,300})|ERROR: ((?:CUDA|HIP) kernel \S{1,100} has no device code[^.]{1,200})"
        r"|(ErrorIncompatibleDriver|Vulkan 1\.2 required|does not support 16-bit storage)"
        r"|(failed to (?:initialize the Metal library|create Metal library))",
        mark("This build of the engine and the graphics driver do not fit together."),
        mark("The driver or the card is older than the build wants ({0})."),
        mark("Update the graphics driver, use another build of the engine, or the processor only."),
    ),
    _rule(
        "driver",
        r"(?:CUDA|ROCm|MUSA) error: (.{1,300})|(device lost on .{1,100}|ErrorDeviceLost)"
        r"|ggml_metal\w{0,60}: error: (command buffer \d{1,10} failed with status \d{1,10})"
        r"|(backend is in error state from a previous command buffer failure)",
        mark("The graphics card stopped working for the engine."),
        mark("Its driver says: {0}."),
        mark(
            "Send the message again; the engine starts by itself. If it happens again, use the "
            "processor only."
        ),
    ),
)

_MEMORY = (
    _rule(
        "out_of_memory",
        r"(?:failed|unable) to allocate RPC\d{0,3}\[([^\]\s]{1,100})\]",
        mark("The other computer that helps with this model has not enough memory: {0}."),
        mark("With {context}, its part of the model does not fit there."),
        mark("Close something there, use a shorter context, or choose a smaller model."),
    ),
    _rule(
        "out_of_memory",
        r"insufficient memory \(attempted to allocate {1,20}(\d{1,12}(?:\.\d{1,6})?) MB\)",
        mark("There is not enough memory for this model."),
        mark("With {context}, it asked for {0} in one piece and the system refused."),
        _LESS,
        sizes=True,
    ),
    _rule(
        "out_of_memory",
        r"Resource temporarily unavailable|Thread creation failed|can't start new thread",
        mark("There is not enough memory for this model."),
        mark("The system refused it another thread: memory, or the number of processes allowed, is used up."),
        _LESS,
    ),
    _rule(
        "out_of_memory",
        r"bad_alloc|[Cc]annot allocate memory|failed to allocate (?:buffer|compute|CPU)|unable to allocate"
        r"|MemoryError|failed to map segment|out of memory|failed to allocate {1,20}[\d.]{1,20} MB"
        r"|mem_buffer != NULL|posix_memalign failed|[Pp]aging file is too small|Not enough memory resources",
        mark("There is not enough memory for this model."),
        mark("Loading it with {context} needs more than the system gives."),
        _LESS,
    ),
    _rule(
        "disk_full",
        r"No space left on device|There is not enough space on the disk",
        mark("The disk is full."),
        mark("The engine could not write what it needs to."),
        mark("Free some space, then try again."),
    ),
)

_REST = (
    _rule(
        "library_missing",
        r"error while loading shared libraries: (\S{1,300}): .|Library not loaded: (\S{1,300})",
        mark("{program} cannot start: {0} is missing."),
        mark("The program needs this system library."),
        mark("Install it, or remove llm.llamacpp.server_path to use the built-in engine."),
    ),
    _rule(
        "library_missing",
        r"(?:version `([^\s']{1,100})' not found|symbol lookup error: .{1,500}?: (.{1,300}))",
        mark("{program} does not fit this system's libraries."),
        mark("It was built for a newer or another system ({0})."),
        mark("Use a build for this system, or remove llm.llamacpp.server_path to use the built-in engine."),
    ),
    _rule(
        "library_missing",
        r"whisper: the built-in engine cannot be loaded: (.{1,300})",
        mark("The built-in engine cannot be loaded."),
        mark("The system says: {0}."),
        mark("Install Whisper Desktop again, or set llm.llamacpp.server_path to a llama-server program."),
    ),
    _rule(
        "model_corrupt",
        r"error loading model: (.{1,300})",
        mark("{program} cannot load the model {model}."),
        mark("It says: {0}."),
        _GET_ANOTHER,
    ),
    _rule(
        "aborted",
        r"(GGML_ASSERT\(.{1,300}\) failed)|^\S{1,400}\.(?:cpp|c|cu|cuh|mm?|h|hpp):\d{1,6}: (.{1,300})",
        mark("{program} gave up because of a mistake of its own."),
        mark("A check inside it failed: {0}."),
        mark(
            "Send the message again; the engine starts by itself. If it happens again, use "
            "another build of it."
        ),
    ),
    _rule(
        "aborted",
        r"terminate called after throwing an instance of '(.{1,300})'|uncaught exception of type (.{1,300})",
        mark("{program} gave up because of a mistake of its own."),
        mark("Nothing in it dealt with an error ({0})."),
        mark(
            "Send the message again; the engine starts by itself. If it happens again, use "
            "another build of it."
        ),
    ),
)

RULES = (*_OPTIONS, *_PROGRAM, *_MODEL, *_GPU, *_MEMORY, *_REST)
