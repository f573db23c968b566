"""Letters that look like an ASCII letter, by script. Made by recipes/lookalikes.py."""

UNICODE = "15.0"

# script: letters, and the letter that each looks like
LOOKALIKES = {
    "ARMENIAN": (
        "ՍՏՕագզհոռսցքօ",
        "USOwqqhnnugfo",
    ),
    "CANADIAN": (
        "ᐯᑌᑭᑯᑲᒍᒪᕁᕼᕽᖇᖯᖴᗅᗞᗪᗰᗷ",
        "VUPdbJLxHxRbFADDMB",
    ),
    "CHEROKEE": (
        "ᎠᎡᎢᎥᎩᎪᎫᎬᎳᎷᎻᎽᏀᏂᏃᏏᏒᏔᏕᏙᏚᏞᏟᏢᏦᏧᏳᏴꭵꮁꮃꮓꮩꮪꮯ",
        "DRTiYAJEWMHYGhZbRWSVSLCPKdGBirwzvsc",
    ),
    "COPTIC": (
        "ⲅⲎⲒⲔⲘⲚⲞⲟⲢⲣⲤⲥⲦⲨⲬⳐ",
        "rHIKMNOoPpCcTYXL",
    ),
    "CYRILLIC": (
        "ЅІЈАВЕКМНОРСТУХЬагеорсухѕіјѡѴѵҮүһҽӀӏԁԌԛԜԝꙇ",
        "SIJABEKMHOPCTYXbareopcyxsijwVvYyheIidGqWwi",
    ),
    "GREEK": (
        "ͿΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγινορσυϒϜϱϲϳϹϺᴦ",
        "JABEZHIKMNOPTYXayivopouYFpcjCMr",
    ),
    "LISU": (
        "ꓐꓑꓒꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ",
        "BPdDTGKJCZFMNLSRVHWXYAElOU",
    ),
    "WARANG": (
        "𑢠𑢢𑢣𑢤𑢦𑢩𑢮𑢲𑢵𑢸𑢼𑣀𑣁𑣂𑣃𑣄𑣈𑣗𑣘𑣜",
        "VFLYEZELOUTvsFizoouy",
    ),
}
